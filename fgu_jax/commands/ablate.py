"""Runs a table of ablations over seeds and writes it as Markdown.

The paper's: 2 attracted loss, 3 criterion of merging, 4 PEDAL, 5 k, 6 beta, 7 lambda.
"choices": what the paper leaves open, one change of the configuration at a time. Or
your own settings, by --try. Every flag of train.py is taken and holds for all runs of
the table. Started again it makes no run twice.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

from fgu_jax import ablation
from fgu_jax.commands.command_line import (
    Parser,
    add_cache_flag,
    add_config_flags,
    for_this_machine,
    given_fields,
)
from fgu_jax.config import Config
from fgu_jax.errors import InputError

GO_ON = "the same command goes on"


def parser(prog: str = "ablate.py") -> Parser:
    """The command line of ablations."""
    made = Parser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python experiments/ablate.py --table=2 --dataset=synthetic",
        usage="%(prog)s --table=N|choices | --try=SETTING [--try=SETTING ...] "
        "[--seeds=K] [--output=FOLDER] [--FIELD=VALUE ...]",
    )
    add = made.add_argument
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("--table", help="2 to 7, or choices", metavar="N")
    which.add_argument(
        "--try",
        dest="tried",
        action="append",
        metavar="SETTING",
        help="a setting to compare with the configuration as it is: FIELD=VALUE, or "
        "several of them in quotes with spaces between; may be given many times",
    )
    add(
        "--seeds",
        type=int,
        default=3,
        metavar="K",
        help="how many, from --seed on (3); mean and spread are over them",
    )
    add(
        "--output",
        metavar="FOLDER",
        help="of tables and their runs, which they share (runs/ablation-DATASET)",
    )
    add_config_flags(made, leave_out=tuple(ablation.SET_BY_TABLE))
    add_cache_flag(made)
    return made


def _table(arguments: argparse.Namespace, base: Config, given: dict) -> ablation.Table:
    """The table that is asked for."""
    if arguments.tried:
        return ablation.tried(base, arguments.tried)
    if arguments.table == "choices":
        return ablation.choices(base)
    if not arguments.table.isdecimal():
        raise InputError(f"table is {arguments.table!r}: give 2 to 7, or choices")
    table = ablation.find(int(arguments.table))
    varied = [field for field in table.fields if field in given]
    if varied and {} not in table.settings.values():
        raise InputError(
            f"{table.stem} varies {varied[0]} over {', '.join(table.settings)}: leave "
            f"--{varied[0]} out"
        )
    return table


def ablate(arguments: argparse.Namespace) -> None:
    """Resolves the base configuration, then makes the table run by run."""
    from fgu_jax.config import presets
    from fgu_jax.config.methods import HANDCRAFTED

    given = given_fields(arguments)
    # The paper's tables are of clusters that merge, which quick's do not.
    of_paper = not arguments.tried and arguments.table.isdecimal()
    drawn = given.get("dataset", Config.dataset) == "synthetic"
    if of_paper and drawn and "preset" not in given:
        given["preset"] = "quick-2026-11"
    if not of_paper:
        given |= for_this_machine(given)
    base = presets.resolve(given)
    table = _table(arguments, base, given)
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

    from fgu_jax.ablation import write
    from fgu_jax.training.shape import shaped

    console = Console(highlight=False, soft_wrap=True)
    base, _ = shaped(base, None, console)  # once: all runs have the same network
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    total = len(table.settings) * arguments.seeds
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        runs = progress.add_task("runs", total=total)
        epochs = progress.add_task("", total=base.epochs)

        def on_epoch(place, planned, record):
            name = planned.config.directory.name
            progress.update(epochs, description=name, completed=record["epoch"])

        def on_run(done, run):
            progress.update(runs, completed=done)
            name, last = run.config.directory.name, run.history[-1]
            console.print(
                f"{time.strftime('%H:%M:%S')}  {done}/{total}  {name}  fused "
                f"rank-1 {100 * last['fused_rank1']:.1f} mAP "
                f"{100 * last['fused_mAP']:.1f}  {run.seconds / 60:.1f} min",
                markup=False,
            )

        def on_wait(others):
            names = ", ".join(one.config.directory.name for one in others)
            console.print(f"other processes train {names}: waiting", markup=False)

        path = write.run_table(
            table,
            base,
            num_seeds=arguments.seeds,
            directory=output,
            command=_as_typed(sys.argv),
            on_epoch=on_epoch,
            on_run=on_run,
            on_wait=on_wait,
        )
    console.print(f"table in {path}", markup=False)


def _as_typed(argv: list[str]) -> str:
    """For a shell: what repeats this command, a script's or the installed one's.

    >>> _as_typed(["experiments/ablate.py", "--table=2", "--data_dir=a b"])
    "python experiments/ablate.py --table=2 '--data_dir=a b'"
    >>> _as_typed(["/usr/bin/fgu-jax", "ablate", "--table=2"])
    'fgu-jax ablate --table=2'
    """
    installed = Path(argv[0]).name in ("fgu-jax", "__main__.py")
    return shlex.join(["fgu-jax", *argv[1:]] if installed else ["python", *argv])
