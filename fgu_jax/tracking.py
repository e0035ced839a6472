"""What a run writes as it goes: metrics, timings, TensorBoard, progress bars."""

import contextlib
import json
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

from fgu_jax import processes, run_files
from fgu_jax.events import ScalarEvents

Callback = Callable[[int, int, str], None]


class Tracker:
    """The run's ``metrics.jsonl``, ``timings.jsonl``, TensorBoard events and console.

    ``metrics.jsonl`` is rewritten from the history of the checkpoint that a run goes
    on from, so that a stopped and resumed run leaves the file of an unstopped one.
    Of several processes the first one writes; all keep the history.
    """

    def __init__(
        self,
        directory: Path,
        history: list[dict],
        console: Console,
        on_epoch: Callable[[dict], object] | None = None,
    ):
        self._on_epoch = on_epoch
        self.history = list(history)
        self.console = console
        self._metrics = directory / "metrics.jsonl"
        self._timings = directory / "timings.jsonl"
        self._tensorboard = directory / "tensorboard"
        processes.on_first(self._open)

    def _open(self) -> None:
        run_files.replace(self._metrics, "".join(map(_line, self.history)))
        if self.history:
            run_files.drop_cut_line(self._timings)
        else:
            run_files.replace(self._timings, "")
        start = self.history[-1]["epoch"] + 1 if self.history else 0
        with run_files.writing(self._tensorboard):
            self._events = ScalarEvents(self._tensorboard, start)

    def epoch(self, record: dict, timings: dict) -> None:
        """Keeps one epoch's record; nothing in it depends on the clock.

        Raises:
          NotWritten: the disk is full, or the folder cannot be written.
        """
        self.history.append(record)
        processes.on_first(lambda: self._write(record, timings))

    def _write(self, record: dict, timings: dict) -> None:
        run_files.append(self._metrics, _line(record))
        run_files.append(self._timings, _line({"epoch": record["epoch"], **timings}))
        scalars = {k: v for k, v in record.items() if isinstance(v, (int, float))}
        with run_files.writing(self._tensorboard):
            self._events.add(record["epoch"], scalars)
        if self._on_epoch is not None:
            self._on_epoch(record)

    def close(self) -> None:
        """Closes the TensorBoard file; each epoch of it is on the disk already."""
        if processes.is_first():
            with contextlib.suppress(OSError):
                self._events.close()


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
