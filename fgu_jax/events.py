"""Scalars for TensorBoard, written at once and by the caller's own thread.

tensorboardX's ``SummaryWriter`` has a thread write them: on a full disk that thread
dies, and the run waits for it for ever. Here the same records are written without it.
"""

import os
import socket
import time
from pathlib import Path


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
