"""Checkpoints: which stay, half-written ones, flipped bytes, a full disk."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from fgu_jax.errors import InputError, NotWritten
from fgu_jax.runs import arrays as digests
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.training.loop import best_epoch
from fgu_jax.training.state import create

HERE = jax.sharding.SingleDeviceSharding(jax.devices()[0])
PAST = {"epochs": [{"epoch": 0, "loss": 0.1}], "fingerprint": "abc"}


def _state(step):
    rng = np.random.default_rng(step)

    def array(*shape):
        return jnp.asarray(rng.standard_normal(shape, np.float32))

    state = create(
        variables={
            "params": {"backbone": {"kernel": array(30, 40)}},
            "batch_stats": {"mean": array(5)},
        },
        optimizer=optax.sgd(0.1, momentum=0.9),
        global_features=array(50, 16),
        patches=array(2, 50, 8),
        seed=step,
    )
    return state.replace(step=jnp.asarray(step, jnp.int32))


def _restore(folder):
    found = Checkpoints(folder, read_only=True)
    try:
        return found.restore(jax.eval_shape(lambda: _state(0)), HERE)
    finally:
        found.close()


def _network(folder, step=None):
    found = Checkpoints(folder, read_only=True)
    wanted = jax.eval_shape(lambda: _state(0))
    network = {"params": wanted.params, "batch_stats": wanted.batch_stats}
    try:
        return found.restore_network(network, step)
    finally:
        found.close()


def _assert_is(state, step):
    for found, expected in zip(
        jax.tree.leaves(state), jax.tree.leaves(_state(step)), strict=True
    ):
        if jax.dtypes.issubdtype(found.dtype, jax.dtypes.prng_key):
            found, expected = map(jax.random.key_data, (found, expected))
        np.testing.assert_array_equal(found, expected)


def _steps(folder):
    return sorted(int(path.name) for path in folder.iterdir())


@pytest.fixture
def saved(tmp_path):
    """A folder with checkpoints 3 and 6."""
    folder = tmp_path / "checkpoints"
    writer = Checkpoints(folder)
    writer.save(_state(3), PAST)
    writer.save(_state(6), PAST)
    writer.close()
    return folder


def test_the_newest_and_the_best_stay(tmp_path):
    folder = tmp_path / "checkpoints"
    writer = Checkpoints(folder, keep=2)
    kept = []
    for step, best in [(3, None), (6, 6), (9, 6), (12, 6), (15, 15), (18, 15), (21, 3)]:
        writer.save(_state(step), PAST, best=best)
        assert writer.latest() == step
        kept.append(_steps(folder))
    assert kept[:3] == [[3], [3, 6], [6, 9]]
    assert kept[3:] == [[6, 9, 12], [12, 15], [15, 18], [18, 21]]
    writer.close()
    state, history = _restore(folder)
    _assert_is(state, 21)
    assert history == PAST
    jax.tree.map(
        np.testing.assert_array_equal,
        _network(folder, 18)["params"],
        _state(18).params,
    )
    with pytest.raises(InputError, match="no whole checkpoint 3: choose from 18, 21"):
        _network(folder, 3)


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
    writer.save(_state(9).replace(step=jnp.asarray(6, jnp.int32)), {})
    writer.close()
    _assert_is(_restore(saved)[0], 6)


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


def _refused_or_not_needed(folder):
    """Whether checkpoint 6 is refused, in one line; if not, it is what was saved."""
    try:
        state, history = _restore(folder)
    except InputError as error:
        return "\n" not in str(error)
    _assert_is(state, 6)
    assert history == PAST
    return False


def _every_file(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_file_cut_short_anywhere_is_refused_or_not_needed(saved):
    refused = 0
    for path in _every_file(saved / "6"):
        whole = path.read_bytes()
        for kept in (0, len(whole) - 1):
            path.write_bytes(whole[:kept])
            refused += _refused_or_not_needed(saved)
        path.write_bytes(whole)
    assert refused >= 10
    _assert_is(_restore(saved)[0], 6)


def test_a_flipped_byte_anywhere_is_refused_or_not_needed(saved):
    rng = np.random.default_rng(0)
    refused = 0
    for path in _every_file(saved / "6"):
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 2):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << rng.integers(8)
            path.write_bytes(spoilt)
            refused += _refused_or_not_needed(saved)
        path.write_bytes(whole)
    assert refused >= 10


def _claim_other_digests(saved, name):
    path = saved / "6" / "history" / "metadata"
    record = json.loads(path.read_text())
    record["digests"][name] = "00000000"
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["params/backbone/kernel", "cluster_memory", "key"])
def test_an_array_of_other_bytes_is_named_with_the_way_on(saved, name):
    _claim_other_digests(saved, name)
    with pytest.raises(InputError) as raised:
        _restore(saved)
    line = str(raised.value)
    assert f"checkpoint 6 in {saved} is damaged: {name} is not what was saved" in line
    assert f"remove {saved / '6'} to go on from checkpoint 3" in line
    shutil.rmtree(saved / "6")
    _assert_is(_restore(saved)[0], 3)


def test_a_network_is_checked_where_it_is_loaded_alone(saved):
    _claim_other_digests(saved, "cluster_memory")
    _network(saved)  # none of its arrays
    _claim_other_digests(saved, "batch_stats/mean")
    with pytest.raises(InputError, match="batch_stats/mean is not what was saved"):
        _network(saved)


def test_the_only_checkpoint_names_no_other(saved):
    _claim_other_digests(saved, "labels")
    shutil.rmtree(saved / "3")
    with pytest.raises(InputError, match="labels is not .* no older one is here"):
        _restore(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["epochs"][0].update(loss=0.2),
        lambda record: record.update(fingerprint="abd"),
        lambda record: record.update(digests=[]),
        lambda record: record["digests"].pop("labels"),
    ],
)
def test_a_changed_history_is_refused(saved, change):
    path = saved / "6" / "history" / "metadata"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="(history|labels) is not what was saved"):
        _restore(saved)


def test_a_checkpoint_of_before_there_were_digests_is_read_and_said(saved):
    path = saved / "6" / "history" / "metadata"
    record = json.loads(path.read_text())
    del record["digests"]
    path.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="checkpoint 6 .* read unverified"):
        state, history = _restore(saved)
    _assert_is(state, 6)
    assert history == PAST
    with pytest.warns(UserWarning, match="checkpoint 6 .* read unverified"):
        _network(saved)


def test_digests_see_every_bit_and_every_kind_of_array():
    tree = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "half": jnp.ones((3,), jnp.bfloat16),
        "scalar": np.float64(2),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3)),
        "key": jax.random.key(1),
    }
    expected = digests.digest_arrays(tree)
    assert expected.keys() == tree.keys()
    assert digests.other_digest(tree, expected) is None
    assert expected["f"] == digests.digest_arrays({"x": tree["f"].copy()})["x"]
    for name in ("f", "half", "scalar", "flags"):
        array = np.array(tree[name], order="C")
        raw = array.reshape(-1).view(np.uint8)
        for bit in range(8 * raw.size):
            raw[bit // 8] ^= 1 << bit % 8
            assert digests.other_digest(tree | {name: array}, expected) == name
            raw[bit // 8] ^= 1 << bit % 8
    other = tree | {"key": jax.random.key(2)}
    assert digests.other_digest(other, expected) == "key"
    assert digests.other_digest(tree | {"new": np.ones(1)}, expected) == "new"


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
            writer.save(_state(3), PAST)
    assert not list(folder.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(ocp.CheckpointManager, "save", lambda *_, **__: False)
        with pytest.raises(NotWritten, match="checkpoint 3 was not written"):
            writer.save(_state(3), PAST)
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
from test_checkpoints import PAST, _state
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.errors import NotWritten

folder, how, room = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
writer = Checkpoints(folder)
writer.save(_state(3), PAST)
if how == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
else:
    with (folder.parent / "fill").open("wb") as fill:
        free = os.statvfs(folder)
        fill.write(bytes(max(free.f_bavail * free.f_bsize - room, 0)))
try:
    writer.save(_state(6), PAST)
except NotWritten as error:
    print(error)
writer.close()
"""


def _save_on_a_full_disk(folder, how, room):
    done = subprocess.run(
        [sys.executable, "-c", SAVES_ON_A_FULL_DISK]
        + [str(x) for x in (Path(__file__).parent, folder, how, room)],
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
    assert _steps(folder) == [3]  # nothing half-written takes room
    _assert_is(_restore(folder)[0], 3)
    writer = Checkpoints(folder)  # with room again
    writer.save(_state(6), PAST)
    writer.close()
    _assert_is(_restore(folder)[0], 6)


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
