"""Prepares a dataset: an archive or a folder in, a checked TFDS dataset out.

Layouts that are understood, in an archive or unpacked, also one folder deeper:

  market1501  bounding_box_train/, query/, bounding_box_test/ (0002_c1s1_000451_03.jpg)
  duke        the same three folders (0001_c2_f0046182.jpg)
  msmt17      V1 or V2: list_train.txt, list_val.txt, list_query.txt, list_gallery.txt
              beside train/ and test/, or mask_train_v2/ and mask_test_v2/
  cuhk03      bounding_box_train/ ..., also below detected/ or labeled/
  veri        image_train/, image_query/, image_test/
  mars        bbox_train/, bbox_test/ and info/
  folder      any tree of images; with --pattern='{identity}_c{camera}*.jpg', or with
              --pattern=FILE.csv (columns image, identity, camera, split), or no labels
  synthetic   drawn now; no source
"""

import argparse

from fgu_jax.commands.command_line import Parser
from fgu_jax.config.located import ReadAs, read_as
from fgu_jax.data.prepared import write
from fgu_jax.data.published import NAMES
from fgu_jax.data.synthetic.settings import Settings
from fgu_jax.errors import InputError
from fgu_jax.progress import bar


def parser(prog: str = "prepare.py") -> Parser:
    """The command line."""
    made = Parser(
        prog=prog,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--dataset", required=True, metavar="NAME", help=" | ".join(NAMES))
    add("--source", metavar="PATH", help="zip, tar or folder, as published")
    add("--data_dir", default="data", metavar="PATH", help="where it goes (data)")
    add(
        "--pattern",
        metavar="GLOB",
        help="folder: where labels stand in the names, or a CSV",
    )
    add("--table", metavar="CSV", help="folder: image, identity, camera, split")
    add("--seed", type=int, default=0, metavar="N", help="synthetic: seed (0)")
    add(
        "--difficulty",
        type=float,
        default=Settings.difficulty,
        metavar="D",
        help=f"synthetic: 0 to 1 ({Settings.difficulty})",
    )
    add(
        *("--skip_bad", "--skip-bad"),
        action="store_true",
        help="leave out images that cannot be read, instead of refusing them",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace a dataset that was prepared from other files",
    )
    return made


def prepare(arguments: argparse.Namespace) -> None:
    """Prepares, and says what was found."""
    settings = None
    if arguments.dataset == "synthetic":
        settings = Settings(seed=arguments.seed, difficulty=arguments.difficulty)
    from rich.console import Console

    with bar(Console(stderr=True)) as progress:
        report = write.prepare(
            arguments.dataset,
            arguments.source,
            data_dir=arguments.data_dir,
            **_labels(arguments),
            settings=settings,
            skip_bad=arguments.skip_bad,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    _show(report)


def _labels(arguments: argparse.Namespace) -> ReadAs:
    """Where labels come from: ``--pattern``, which may be a table, or ``--table``."""
    read = read_as(arguments.pattern, arguments.source)
    if arguments.table is None:
        return read
    if read["table"] is not None:
        raise InputError(
            f"--pattern={arguments.pattern} and --table={arguments.table} are two "
            "tables: give one of them"
        )
    return {"pattern": read["pattern"], "table": arguments.table}


def _show(report: write.Report) -> None:
    """The table: found beside published, then what else was met."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "found", "published", "")
    for what in dict.fromkeys((*report.counts, *report.published)):
        found, said = report.counts.get(what, 0), report.published.get(what)
        mark = "" if said is None else "same" if said == found else "DIFFERS"
        table.add_row(what, f"{found:,}", "" if said is None else f"{said:,}", mark)
    for what, number in report.found.items():
        if number and what not in report.counts:
            table.add_row(what, f"{number:,}", "", "")
    if report.skipped:
        table.add_row("unreadable, left out", f"{len(report.skipped):,}", "", "")
    for column in table.columns[1:3]:
        column.justify = "right"
    console = Console()
    console.print(table)
    for line in report.reading.lines() if report.reading else ():
        console.print(line, markup=False, soft_wrap=True)
    done = "prepared already, nothing written" if report.again else "prepared"
    console.print(f"{done}: {report.root}", markup=False, soft_wrap=True)
    if report.doubt:
        console.print(f"  {report.doubt}", markup=False, soft_wrap=True)
