"""Prepares a dataset: an archive or a folder in, a checked TFDS dataset out."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.prepare import parser, prepare

if __name__ == "__main__":
    main(prepare, parser())
