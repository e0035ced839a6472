"""Measures one piece of the work against the machine's floor and plain rivals."""

import argparse
import dataclasses
from pathlib import Path

from fgu_jax.bench import PIECES
from fgu_jax.bench.sizes import SIZES
from fgu_jax.commands.command_line import Parser
from fgu_jax.errors import InputError
from fgu_jax.parallel.allocation import keep_freed_memory


def parser(prog: str = "bench.py") -> Parser:
    """The command line: a subcommand a piece, its sizes as flags."""
    made = Parser(
        prog=prog,
        description=__doc__ + " Results are checked before they are timed. The floor "
        "is the work's operations at the rate of a large matrix product, or its bytes "
        "at the rate of a large copy, both measured in the same run.",
        epilog="Example: python experiments/bench.py pedal --images=12936 --batch=42",
    )
    pieces = made.add_subparsers(dest="piece", required=True, metavar="PIECE")
    for name, about in PIECES.items():
        one = pieces.add_parser(name, help=about, description=about.capitalize() + ".")
        add = one.add_argument
        add(
            "--output",
            type=Path,
            metavar="FILE",
            help="the JSON, replaced if there (experiments/benchmarks/PIECE.json)",
        )
        add("--repeats", type=int, default=7, help="runs of each subject (%(default)s)")
        add(
            "--seconds",
            type=float,
            default=20.0,
            help="for the runs of one subject; one is made at any rate (%(default)s)",
        )
        add("--no_memory", action="store_true", help="leave peak memory out")
        add("--no_rivals", action="store_true", help="ours alone")
        add(
            "--give_back",
            action="store_true",
            help="freed memory goes back to the system, as in a plain script; else it "
            "is kept for all that is timed here, rivals too, as train.py keeps it",
        )
        add("--tiny", action="store_true", help="rates of tiny products: a test only")
        group = one.add_argument_group("Sizes")
        for field in dataclasses.fields(SIZES[name]):
            shown = f" ({field.default})" if field.default else ""
            group.add_argument(
                f"--{field.name}",
                type=type(field.default),
                default=field.default,
                help=field.metadata["help"] + shown,
            )
    return made


def bench(arguments: argparse.Namespace) -> None:
    """Measures, prints the table, writes the JSON."""
    kept = not arguments.give_back and keep_freed_memory()
    from rich.console import Console

    from fgu_jax import files
    from fgu_jax.bench import machine, measure, record
    from fgu_jax.progress import bar

    name = arguments.piece
    output = arguments.output or _experiments() / "benchmarks" / f"{name}.json"
    files.check_output(output, overwrite=True)
    if arguments.repeats < 1:
        raise InputError(f"repeats is {arguments.repeats}: give 1 or more")
    fields = dataclasses.fields(SIZES[name])
    sizes = SIZES[name](**{f.name: getattr(arguments, f.name) for f in fields})
    options = measure.Options(
        repeats=arguments.repeats,
        seconds=arguments.seconds,
        memory=not arguments.no_memory,
        rivals=not arguments.no_rivals,
    )
    precision = getattr(sizes, "precision", "float32")
    console = Console(highlight=False)
    console.width = max(console.width, 108)
    rates = machine.measure_rates(precision, small=arguments.tiny)
    with bar(console) as progress:
        rows = measure.rows_of(name, sizes, rates, options, progress)
    found = record.report(name, sizes, rates, rows) | {"memory_kept": kept}
    record.show(console, found)
    record.write(output, found)
    console.print(f"in {output}", markup=False, soft_wrap=True)


def _experiments() -> Path:
    """Of the checkout that this is, or of the working folder once it is installed."""
    checkout = Path(__file__).resolve().parents[2] / "experiments"
    return checkout if checkout.is_dir() else Path("experiments")
