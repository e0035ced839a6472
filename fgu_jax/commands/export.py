"""A trained network for inference: its weights, and a program for any device."""

import argparse
from pathlib import Path

from fgu_jax.commands.command_line import Parser


def parser(prog: str = "export.py") -> Parser:
    """The command line of exporting."""
    made = Parser(
        prog=prog,
        description=__doc__,
        epilog="Example: python experiments/export.py --checkpoint=runs/synthetic "
        "--output=exported; docs/export.md shows how to use it.",
    )
    add = made.add_argument
    add("--checkpoint", required=True, help="a run's folder")
    add("--output", required=True, help="the folder to write")
    add("--overwrite", action="store_true", help="replace an earlier export")
    return made


def export(arguments: argparse.Namespace) -> None:
    """Writes the folder and says what is in it."""
    from rich.console import Console

    from fgu_jax.inference.export import export as export_network

    console = Console(highlight=False, soft_wrap=True)
    output = Path(arguments.output)
    with console.status("exporting"):
        record = export_network(
            arguments.checkpoint, output, overwrite=arguments.overwrite
        )
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    console.print(
        f"{output}: {size / 1e6:.1f} MB; {record['program']}: {record['input']} to "
        f"{record['output']}, for {', '.join(record['platforms'])}",
        markup=False,
    )
