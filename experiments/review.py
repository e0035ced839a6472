"""Makes a page that asks a person about doubtful pairs, to correct clusters with."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.review import parser, review

if __name__ == "__main__":
    main(review, parser())
