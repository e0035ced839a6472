"""The small files of a run, and TensorBoard's, whatever happens to them."""

import errno
import json
import os
import struct

import jax
import pytest
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from fgu_jax import files
from fgu_jax.errors import InputError, NotWritten
from fgu_jax.parallel import processes
from fgu_jax.runs.metrics import ScalarEvents, Tracker

QUIET = Console(quiet=True)


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _events(folder):
    """All events of a folder, file after file, in the records' own framing."""
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return found


def test_epochs_are_written_as_they_come(tmp_path):
    tracker = Tracker(tmp_path, [], QUIET)
    tracker.epoch({"epoch": 0, "loss": 0.5, "merged": True}, {"seconds": 1.0})
    assert _lines(tmp_path / "metrics.jsonl") == tracker.history
    assert _lines(tmp_path / "timings.jsonl") == [{"epoch": 0, "seconds": 1.0}]
    events = _events(tmp_path / "tensorboard")
    assert events[0].file_version == "brain.Event:2"
    values = {
        e.summary.value[0].tag: e.summary.value[0].simple_value for e in events[2:]
    }
    assert values == {"epoch": 0, "loss": 0.5, "merged": 1}
    tracker.close()


def test_a_resumed_run_takes_back_what_no_checkpoint_knows(tmp_path):
    tracker = Tracker(tmp_path, [], QUIET)
    for epoch in range(4):
        tracker.epoch({"epoch": epoch}, {"seconds": 1.0})
    tracker.close()
    with (tmp_path / "timings.jsonl").open("a") as file:
        file.write('{"epoch": 4, "sec')  # died over it
    Tracker(tmp_path, tracker.history[:2], QUIET).close()
    assert _lines(tmp_path / "metrics.jsonl") == [{"epoch": 0}, {"epoch": 1}]
    assert [t["epoch"] for t in _lines(tmp_path / "timings.jsonl")] == [0, 1, 2, 3]
    starts = [e for e in _events(tmp_path / "tensorboard") if e.HasField("session_log")]
    assert [event.step for event in starts] == [0, 2]
    # A run that starts anew keeps no times of the one before.
    Tracker(tmp_path, [], QUIET).close()
    assert (
        _lines(tmp_path / "metrics.jsonl") == _lines(tmp_path / "timings.jsonl") == []
    )


@pytest.mark.parametrize("name", ["metrics.jsonl", "timings.jsonl", "tensorboard"])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, name):
    tracker = Tracker(tmp_path, [], QUIET)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def no_room(*_):
        raise full

    if name == "tensorboard":
        monkeypatch.setattr(ScalarEvents, "add", no_room)
    else:
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(NotWritten) as raised:
        tracker.epoch({"epoch": 0}, {})
    assert str(raised.value) == (
        f"{tmp_path / name} cannot be written: No space left on device; make room and "
        "go on with --resume"
    )
    tracker.close()


def test_events_on_a_full_disk_fail_at_once(tmp_path, monkeypatch):
    events = ScalarEvents(tmp_path / "events", 0)

    def no_room():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(events._file, "flush", no_room)
    with pytest.raises(OSError, match="No space left"):
        events.add(1, {"loss": 1.0})
    events.close()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    files.replace(path, "first")
    path.with_name("file.new").symlink_to("/dev/full")
    with pytest.raises(NotWritten, match="No space left"):
        files.replace(path, "second" * 10_000)
    assert path.read_text() == "first"


def test_only_what_could_not_be_written_is_called_so(tmp_path):
    with pytest.raises(InputError) as raised, files.writing(tmp_path):
        raise InputError("features are [3]: give [N, D]")
    assert type(raised.value) is InputError
    cause = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    with (
        pytest.raises(NotWritten, match=r"^a\.csv cannot be written; make room"),
        files.writing(tmp_path),
    ):
        raise InputError("a.csv cannot be written") from cause


def test_a_cut_line_goes_and_nothing_else(tmp_path):
    path = tmp_path / "lines"
    files.drop_cut_line(path)
    assert not path.exists()
    for content, kept in [("", ""), ("a\nb\n", "a\nb\n"), ("a\nb", "a\n"), ("b", "")]:
        path.write_text(content)
        files.drop_cut_line(path)
        assert path.read_text() == kept


def test_a_record_that_cannot_be_written_ends_every_process(tmp_path, monkeypatch):
    """The others learn of the first's full disk, not of a time-out."""
    told = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "broadcast", lambda x: told.append(x) or x)
    first = Tracker(tmp_path, [], QUIET)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(NotWritten, match=r"metrics\.jsonl"):
        first.epoch({"epoch": 0}, {})
    first.close()
    heard = iter(json.loads(json.dumps(told)))
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(processes, "broadcast", lambda _: next(heard))
    second = Tracker(tmp_path / "none", [], QUIET)
    with pytest.raises(NotWritten, match=r"process 0: .*metrics\.jsonl"):
        second.epoch({"epoch": 0}, {})
    second.close()
    assert not (tmp_path / "none").exists()
