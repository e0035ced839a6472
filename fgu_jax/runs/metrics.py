"""What a run writes as it goes: metrics, timings, scalars for TensorBoard.

tensorboardX's ``SummaryWriter`` has a thread write them: on a full disk that thread
dies, and the run waits for it for ever. Here the same records are written without it.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from fgu_jax import files
from fgu_jax.parallel import processes


class ScalarEvents:
    """One file of events in a folder.

    Args:
      folder: made where it is not there.
      from_epoch: what earlier files hold from this epoch on is hidden.

    Raises:
      OSError: the file cannot be written; so does ``add``.
    """

    def __init__(self, folder: Path, from_epoch: int):
        # Takes half a second to import.
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._event = Event
        folder.mkdir(exist_ok=True)
        host, now = socket.gethostname(), time.time_ns()
        name = f"events.out.tfevents.{now // 10**9}.{host}.{os.getpid()}.{now}"
        self._file = RecordWriter(str(folder / name))
        self._write(Event(file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._write(Event(step=from_epoch, session_log=start))

    def add(self, epoch: int, values: dict[str, float]) -> None:
        """Writes the values of an epoch, and sees that they reach the disk."""
        from tensorboardX.summary import scalar

        for name, value in values.items():
            self._write(self._event(step=epoch, summary=scalar(name, value)))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, event) -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())


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
        files.replace(self._metrics, "".join(map(_line, self.history)))
        if self.history:
            files.drop_cut_line(self._timings)
        else:
            files.replace(self._timings, "")
        start = self.history[-1]["epoch"] + 1 if self.history else 0
        with files.writing(self._tensorboard):
            self._events = ScalarEvents(self._tensorboard, start)

    def epoch(self, record: dict, timings: dict) -> None:
        """Keeps one epoch's record; nothing in it depends on the clock.

        Raises:
          NotWritten: the disk is full, or the folder cannot be written.
        """
        self.history.append(record)
        processes.on_first(lambda: self._write(record, timings))

    def _write(self, record: dict, timings: dict) -> None:
        files.append(self._metrics, _line(record))
        files.append(self._timings, _line({"epoch": record["epoch"], **timings}))
        scalars = {k: v for k, v in record.items() if isinstance(v, (int, float))}
        with files.writing(self._tensorboard):
            self._events.add(record["epoch"], scalars)
        if self._on_epoch is not None:
            self._on_epoch(record)

    def close(self) -> None:
        """Closes the TensorBoard file; each epoch of it is on the disk already."""
        if processes.is_first():
            with contextlib.suppress(OSError):
                self._events.close()


def _line(record: dict) -> str:
    return json.dumps(record, allow_nan=False) + "\n"
