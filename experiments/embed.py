"""Features of every image in a folder, as an .npz file."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.embed import embed, parser

if __name__ == "__main__":
    main(embed, parser())
