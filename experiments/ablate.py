"""Runs one of the paper's tables 2 to 7 over seeds and writes it as Markdown.

2 attracted loss, 3 criterion of merging, 4 PEDAL, 5 k, 6 beta, 7 lambda. Every flag of
train.py is taken; the table varies one of them. Started again it makes no run twice.
"""

import argparse
import sys
import time
from pathlib import Path

from fgu_jax.command_line import (
    Parser,
    add_cache_flag,
    add_config_flags,
    given_fields,
    main,
)
from fgu_jax.errors import InputError

# Set by the table for each run.
_OWN = ("workdir", "resume", "report")


def parser() -> Parser:
    """The command line of ablations."""
    made = Parser(
        prog="ablate.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python experiments/ablate.py --table=2 --dataset=synthetic",
        usage="%(prog)s --table=N [--seeds=K] [--output=FOLDER] [--FIELD=VALUE ...]",
    )
    made.add_argument("--table", type=int, required=True, help="2 to 7", metavar="N")
    made.add_argument(
        "--seeds",
        type=int,
        default=3,
        metavar="K",
        help="how many, from --seed on (3); mean and spread are over them",
    )
    made.add_argument(
        "--output",
        metavar="FOLDER",
        help="of tables and their runs, which they share (runs/ablation-DATASET)",
    )
    add_config_flags(made, leave_out=_OWN)
    add_cache_flag(made)
    return made


def ablate(arguments: argparse.Namespace) -> None:
    """Resolves the base configuration, then makes the table run by run."""
    from fgu_jax import ablation, presets
    from fgu_jax.methods import HANDCRAFTED

    table = ablation.find(arguments.table)
    given = given_fields(arguments)
    if table.field in given and None not in table.settings.values():
        raise InputError(
            f"table {table.number} varies {table.field} over "
            f"{', '.join(table.settings)}: leave --{table.field} out"
        )
    base = presets.resolve(given)
    if base.method in HANDCRAFTED:
        raise InputError(
            f"--method={base.method} trains nothing: take one that does, such as fgu"
        )
    output = Path(arguments.output or f"runs/ablation-{base.dataset}")
    if base.dataset != "synthetic" and base.holdout_identities is None:
        print(
            "judged on the official query and gallery: to choose a setting rather than "
            "report it, use --holdout_identities=100"
        )
    # What computes is loaded once the command line is known to be right.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from fgu_jax.ablation import page, write

    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    total = len(table.settings) * arguments.seeds
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        runs = progress.add_task("runs", total=total)
        epochs = progress.add_task("", total=base.epochs)

        def on_epoch(place, planned, record):
            name = planned.config.directory.name
            progress.update(epochs, description=name, completed=record["epoch"])

        def on_run(place, run):
            progress.update(runs, completed=place + 1)
            name, last = run.config.directory.name, run.history[-1]
            console.print(
                f"{time.strftime('%H:%M:%S')}  {place + 1}/{total}  {name}  fused "
                f"rank-1 {100 * last['fused_rank1']:.1f} mAP "
                f"{100 * last['fused_mAP']:.1f}  {run.seconds / 60:.1f} min",
                markup=False,
            )

        path = write.run_table(
            table,
            base,
            num_seeds=arguments.seeds,
            directory=output,
            command=page.command_line(["python", *sys.argv]),
            on_epoch=on_epoch,
            on_run=on_run,
        )
    console.print(f"table in {path}", markup=False)


if __name__ == "__main__":
    main(ablate, parser(), go_on="the same command goes on")
