"""Searches a folder of images for those that show what a query image shows."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.search import parser, search

if __name__ == "__main__":
    main(search, parser())
