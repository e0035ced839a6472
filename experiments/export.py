"""A trained network for inference: its weights, and a program for any device."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.export import export, parser

if __name__ == "__main__":
    main(export, parser())
