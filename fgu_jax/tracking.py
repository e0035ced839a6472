"""What a run writes as it goes: metrics, timings, TensorBoard, progress bars."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

Callback = Callable[[int, int, str], None]


class Tracker:
    """The run's ``metrics.jsonl``, ``timings.jsonl``, TensorBoard events and console.

    ``metrics.jsonl`` is rewritten from the history of the checkpoint that a run goes
    on from, so that a stopped and resumed run leaves the file of an unstopped one.
    """

    def __init__(self, directory: Path, history: list[dict], console: Console):
        from tensorboardX import SummaryWriter  # takes half a second to import

        self.history = list(history)
        self.console = console
        self._directory = directory
        path = directory / "metrics.jsonl"
        scratch = path.with_suffix(".jsonl.new")
        scratch.write_text("".join(map(_line, self.history)))
        os.replace(scratch, path)
        start = self.history[-1]["epoch"] + 1 if self.history else 0
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=start)

    def epoch(self, record: dict, timings: dict) -> None:
        """Keeps one epoch's record; nothing in it depends on the clock."""
        self.history.append(record)
        with (self._directory / "metrics.jsonl").open("a") as file:
            file.write(_line(record))
        with (self._directory / "timings.jsonl").open("a") as file:
            file.write(_line({"epoch": record["epoch"], **timings}))
        for name, value in record.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(name, value, record["epoch"])
        self._board.flush()

    def close(self) -> None:
        """Closes the TensorBoard file."""
        self._board.close()


@contextlib.contextmanager
def bar(console: Console) -> Iterator[Callback]:
    """A progress bar as a callback ``(done, total, what)``.

    Nothing is drawn into a file or a pipe, where each bar would leave an empty line.
    """
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = not (console.is_terminal or console.is_jupyter)
    with Progress(
        *columns, console=console, transient=True, disable=hidden
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def callback(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield callback


def _line(record: dict) -> str:
    return json.dumps(record, allow_nan=False) + "\n"
