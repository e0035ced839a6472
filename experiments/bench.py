"""Measures one piece of the work against the machine's floor and plain rivals."""

from fgu_jax.commands.bench import bench, parser
from fgu_jax.commands.command_line import main

if __name__ == "__main__":
    main(bench, parser())
