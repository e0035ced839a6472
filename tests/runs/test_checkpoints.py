"""Checkpoints: which stay, half-written ones, and what cannot be written."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from saved_states import (
    PAST,
    assert_is,
    drawn_state,
    restore,
    restore_network,
    steps_in,
)

from fgu_jax.errors import InputError, NotWritten
from fgu_jax.evaluation.results import best_epoch
from fgu_jax.runs import arrays as digests
from fgu_jax.runs.checkpoints import Checkpoints


def test_the_newest_and_the_best_stay(tmp_path):
    folder = tmp_path / "checkpoints"
    writer = Checkpoints(folder, keep=2)
    kept = []
    for step, best in [(3, None), (6, 6), (9, 6), (12, 6), (15, 15), (18, 15), (21, 3)]:
        writer.save(drawn_state(step), PAST, best=best)
        assert writer.latest() == step
        kept.append(steps_in(folder))
    assert kept[:3] == [[3], [3, 6], [6, 9]]
    assert kept[3:] == [[6, 9, 12], [12, 15], [15, 18], [18, 21]]
    writer.close()
    state, history = restore(folder)
    assert_is(state, 21)
    assert history == PAST
    jax.tree.map(
        np.testing.assert_array_equal,
        restore_network(folder, 18)["params"],
        drawn_state(18).params,
    )
    with pytest.raises(InputError, match="no whole checkpoint 3: choose from 18, 21"):
        restore_network(folder, 3)


def test_the_best_epoch_is_a_trained_one_and_the_first_of_equals():
    def history(*figures):
        return [
            {"epoch": k} | ({} if figure is None else {"fused_mAP": figure})
            for k, figure in enumerate(figures)
        ]

    assert best_epoch(history(0.9, None, 0.2, 0.5, 0.5, None)) == 3
    assert best_epoch(history(0.9, None)) is None
    assert best_epoch([]) is None


def test_a_step_that_is_there_stays(saved):
    writer = Checkpoints(saved)
    writer.save(drawn_state(9).replace(step=jnp.asarray(6, jnp.int32)), {})
    writer.close()
    assert_is(restore(saved)[0], 6)


def test_what_killed_processes_left_is_never_picked_and_cleared_away(saved):
    shutil.copytree(saved / "6", saved / "9.orbax-checkpoint-tmp")
    shutil.copytree(saved / "3", saved / ".superseded-2")
    (saved / "notes").mkdir()
    reader = Checkpoints(saved, read_only=True)
    assert reader.latest() == 6
    reader.close()
    assert (saved / ".superseded-2").exists()  # who only reads removes nothing
    writer = Checkpoints(saved)
    assert writer.latest() == 6
    writer.close()
    assert {path.name for path in saved.iterdir()} == {"3", "6", "notes"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ValueError("RESOURCE_EXHAUSTED: a/0.0: No space left on device [os_error]"),
            r"checkpoints: No space left on device; there is no earlier one: make room",
        ),
        (RuntimeError("one\ntwo"), "checkpoints: one; there is no earlier one"),
    ],
)
def test_a_first_checkpoint_that_fails_has_none_before_it(
    tmp_path, monkeypatch, error, said
):
    folder = tmp_path / "checkpoints"
    writer = Checkpoints(folder)

    def fail(*_, **__):
        (folder / "3.orbax-checkpoint-tmp").mkdir()
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(ocp.CheckpointManager, "save", fail)
        with pytest.raises(NotWritten, match=said):
            writer.save(drawn_state(3), PAST)
    assert not list(folder.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(ocp.CheckpointManager, "save", lambda *_, **__: False)
        with pytest.raises(NotWritten, match="checkpoint 3 was not written"):
            writer.save(drawn_state(3), PAST)
    writer.close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritten, match="checkpoints cannot be written: Not a dir"):
        Checkpoints(tmp_path / "file" / "checkpoints")


# Saves checkpoint 3, then 6 once no file may grow beyond the bytes that are given, or
# once no more than these are free.
SAVES_ON_A_FULL_DISK = """
import os, resource, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from saved_states import PAST, drawn_state
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.errors import NotWritten

folder, how, room = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
writer = Checkpoints(folder)
writer.save(drawn_state(3), PAST)
if how == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
else:
    with (folder.parent / "fill").open("wb") as fill:
        free = os.statvfs(folder)
        fill.write(bytes(max(free.f_bavail * free.f_bsize - room, 0)))
try:
    writer.save(drawn_state(6), PAST)
except NotWritten as error:
    print(error)
writer.close()
"""


def _save_on_a_full_disk(folder, how, room):
    done = subprocess.run(
        [sys.executable, "-c", SAVES_ON_A_FULL_DISK]
        + [str(x) for x in (Path(__file__).parents[1], folder, how, room)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _assert_previous_serves(folder, said, reason):
    assert said == (
        f"checkpoint 6 cannot be written to {folder}: {reason}; checkpoint 3 stays: "
        "make room and go on with --resume\n"
    )
    assert steps_in(folder) == [3]  # nothing half-written takes room
    assert_is(restore(folder)[0], 3)
    writer = Checkpoints(folder)  # with room again
    writer.save(drawn_state(6), PAST)
    writer.close()
    assert_is(restore(folder)[0], 6)


@pytest.mark.parametrize("room", [0, 3000])
def test_a_file_that_may_not_grow_leaves_the_previous_one(tmp_path, room):
    folder = tmp_path / "checkpoints"
    said = _save_on_a_full_disk(folder, "limit", room)
    _assert_previous_serves(folder, said, "File too large")


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 4096, 8192, 12288, 20480, 40960])
def test_a_full_disk_leaves_the_previous_one(small_disk, room):
    folder = small_disk / "checkpoints"
    said = _save_on_a_full_disk(folder, "fill", room)
    os.unlink(small_disk / "fill")
    _assert_previous_serves(folder, said, "No space left on device")


def test_only_what_orbax_leaves_is_not_told(monkeypatch, capsys):
    heard = []
    monkeypatch.setattr(sys, "excepthook", lambda *given: heard.append(given[1]))
    before = sys.excepthook, sys.unraisablehook
    ours, theirs = ValueError("ours"), ValueError("NOT_FOUND [tensorstore/kvs.cc:1]")
    filters = [list(logging.getLogger(name).filters) for name in ("absl", "asyncio")]

    def act():
        for error in (ours, theirs):
            sys.excepthook(ValueError, error, None)
        raise theirs

    with pytest.raises(InputError, match="refused"):
        digests.calling_orbax(act, lambda _: InputError("refused"))
    assert heard == [ours]
    assert (sys.excepthook, sys.unraisablehook) == before
    assert filters == [logging.getLogger(name).filters for name in ("absl", "asyncio")]


@pytest.mark.parametrize(
    ("file", "told"), [("site-packages/orbax/reading.py", 0), ("mine.py", 1)]
)
def test_a_task_is_of_orbax_by_the_file_it_stands_in(monkeypatch, file, told):
    # It refuses to end when it is collected; its repr names the function alone.
    names: dict = {}
    code = (
        "import types\n"
        "@types.coroutine\n"
        "def again():\n    yield\n"
        "async def stays():\n"
        "    try:\n        await again()\n"
        "    except GeneratorExit:\n        await again()\n"
    )
    exec(compile(code, file, "exec"), names)
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)

    def act():
        task = names["stays"]()
        task.send(None)

    digests.calling_orbax(act, lambda _: InputError("refused"))
    assert len(heard) == told
