"""Runs a table of ablations over seeds and writes it as Markdown."""

from fgu_jax.commands.ablate import GO_ON, ablate, parser
from fgu_jax.commands.command_line import main

if __name__ == "__main__":
    main(ablate, parser(), go_on=GO_ON)
