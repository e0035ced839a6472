"""Two processes on loopback against one with as many devices."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import presets
from fgu_jax.errors import InputError, NotWritten
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.training.checks import validate_before_data

TRAIN = Path(__file__).parents[2] / "experiments" / "train.py"
# Few and small steps: float32 is summed in another order by other engines.
SETTINGS = SMALL_RUN | {
    "dataset": "market1501",
    "devices": None,
    "learning_rate": 1e-3,
    "epochs": 2,
    "merge_start": 1,
    "merge_stop": 1,
    "eval_every": 1,
    "images_on_device": "never",
}


def start(workdir, data, devices, *arguments, **changes):
    """One process of training with its own simulated devices."""
    settings = SETTINGS | {"workdir": workdir, "data_dir": data} | changes
    flags = [f"--{k}={v}" for k, v in settings.items() if v is not None]
    # The last of a flag counts: the others of the suite stay.
    count = f"--xla_force_host_platform_device_count={devices}"
    flags_of_xla = f"{os.environ['XLA_FLAGS']} {count}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags_of_xla}
    environment |= {"JAX_COMPILATION_CACHE_DIR": os.environ["FGU_TEST_CACHE"]}
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *flags, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(workdir, data, *, seeds=(0, 0), **changes):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    return [
        start(workdir, data, 2, *job, f"--process_id={i}", seed=seed, **changes)
        for i, seed in enumerate(seeds)
    ]


def end(*started):
    said = [process.communicate(timeout=240) for process in started]
    return [process.returncode for process in started], said


def arrays(workdir):
    """The last checkpoint's arrays."""
    folder = workdir / "checkpoints"
    newest = max(int(p.name) for p in folder.iterdir() if p.name.isdigit())
    reader = ocp.PyTreeCheckpointer()
    path = (folder / str(newest) / "training").resolve()
    kinds = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
        reader.metadata(path).item_metadata.tree,
    )
    found = reader.restore(path, restore_args=kinds)
    return {k: found[k] for k in ("cluster_memory", "patch_memory", "labels")}


@pytest.fixture(scope="module")
def alone(drawn_folder, tmp_path_factory):
    """One process with four devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    codes, said = end(start(workdir, drawn_folder, 4))
    assert codes == [0], said
    return workdir


def history(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def assert_trained_alike(first, second):
    for one, two in zip(history(first), history(second), strict=True):
        assert set(one) == set(two)
        for name in one:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
    same = arrays(first), arrays(second)
    np.testing.assert_array_equal(same[0]["labels"], same[1]["labels"])
    for name in ("cluster_memory", "patch_memory"):
        np.testing.assert_allclose(same[1][name], same[0][name], atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {"images_on_device": "always", "steps_per_dispatch": 4},
            marks=pytest.mark.slow,
        ),
        pytest.param({"shard_tables": True}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_train_what_one_trains(alone, drawn_folder, tmp_path, changes):
    workdir = tmp_path / "run"
    codes, said = end(*start_two(workdir, drawn_folder, **changes))
    assert codes == [0, 0], said
    assert "epoch" in said[0][0]
    assert "epoch" not in said[1][0]  # only the first one talks
    assert_trained_alike(alone, workdir)
    for name in ("clusters.csv", "config.json", "run.json"):
        assert (workdir / name).exists()
    record = json.loads((workdir / "run.json").read_text())
    assert record["sessions"][0]["devices"]["processes"] == 2


@pytest.mark.slow
def test_cut_tables_that_go_on_over_a_merge(drawn_folder, tmp_path):
    """V is merged as a whole, and cut over the processes again.

    Against one process with cut tables: whole ones add in another order, and after
    the merge an image at the k-th place of PEDAL may be another.
    """
    going_on = {"memory_at_merge": "memory", "centres": "memory", "shard_tables": True}
    codes, said = end(start(tmp_path / "one", drawn_folder, 4, **going_on))
    assert codes == [0], said
    both = start_two(tmp_path / "two", drawn_folder, **going_on)
    codes, said = end(*both)
    assert codes == [0, 0], said
    assert_trained_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_a_refusal_of_the_first_ends_both(alone, drawn_folder):
    codes, said = end(*start_two(alone, drawn_folder))
    assert codes == [2, 2], said
    for _, error in said:
        assert "holds a run already" in error.splitlines()[-1]


@pytest.mark.slow
def test_other_arguments_are_refused(drawn_folder, tmp_path):
    both = start_two(tmp_path / "run", drawn_folder, seeds=(0, 1))
    codes, said = end(*both)
    assert codes == [2, 2], said
    for _, error in said:
        assert "seed is 0 on process 0 and 1 on process 1" in error.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_stop_of_one_stops_both_and_one_goes_on(drawn_folder, tmp_path):
    workdir = tmp_path / "run"
    both = start_two(workdir, drawn_folder, epochs=2000, merge_fraction=0.0)
    for _ in range(600):
        time.sleep(0.1)
        if (workdir / "metrics.jsonl").exists() and len(history(workdir)) > 3:
            break
    both[1].send_signal(signal.SIGTERM)
    codes, said = end(*both)
    assert codes == [143, 143], said
    done = history(workdir)[-1]["epoch"]
    changed = {"epochs": done + 2, "merge_fraction": 0.0}
    codes, said = end(start(workdir, drawn_folder, 4, "--resume", **changed))
    assert codes == [0], said
    assert [r["epoch"] for r in history(workdir)] == list(range(done + 3))


def test_one_process_asks_nobody():
    assert processes.is_first()
    assert not processes.several()
    assert processes.on_first(lambda: 3) == 3
    assert processes.broadcast({"a": [1]}) == {"a": [1]}
    assert processes.maximum(7) == 7
    like = np.zeros(2, np.int32)
    assert processes.broadcast_array(lambda: like + 1, like).tolist() == [1, 1]
    processes.refuse_different({"anything": 1}, "it")
    processes.wait()
    assert processes.own_part(12, make_mesh(4)) == slice(0, 12)
    assert processes.devices() == jax.devices()


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (
            InputError("merge_start is 0: give 1"),
            InputError,
            "merge_start is 0: give 1",
        ),
        (NotWritten("full"), NotWritten, "full"),
        (MemoryError(), InputError, "MemoryError"),
        (
            OSError(28, "No space\nleft"),
            InputError,
            "OSError: [Errno 28] No space left",
        ),
        (KeyError("labels"), InputError, "KeyError: 'labels'"),
    ],
)
def test_whatever_the_first_fails_of_ends_the_others(monkeypatch, error, kind, line):
    def fail():
        raise error

    told = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        processes, "broadcast", lambda value: told.append(value) or value
    )
    with pytest.raises(type(error)) as raised:
        processes.on_first(fail)
    assert raised.value is error
    # What the first said is all that the second hears.
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(
        processes, "broadcast", lambda _: json.loads(json.dumps(told[0]))
    )
    with pytest.raises(InputError) as raised:
        processes.on_first(fail)
    assert type(raised.value) is kind
    assert str(raised.value) == f"process 0: {line}"


def test_values_that_differ_are_named_with_both(monkeypatch):
    """The messages of three processes, the second with another seed and no limit."""
    theirs = [{"seed": 0, "limit": 5, "epochs": 3} | c for c in ({}, {"seed": 1}, {})]
    theirs[1]["limit"] = None
    texts = [json.dumps(each).encode().ljust(60) for each in theirs]
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(processes, "maximum", lambda size: 60)
    monkeypatch.setattr(
        processes.multihost_utils,
        "process_allgather",
        lambda sent: np.stack([np.frombuffer(text, np.uint8) for text in texts]),
    )
    line = (
        "the configuration is not the same on all 3 processes: seed is 0 on process 0 "
        "and 1 on process 1, limit is 5 on process 0 and null on process 1; give each"
    )
    with pytest.raises(InputError, match=line):
        processes.refuse_different(theirs[0], "the configuration")
    texts[1] = texts[0]
    processes.refuse_different(theirs[0], "the configuration")


def test_a_job_that_cannot_be_joined_is_refused(run_command, monkeypatch):
    def initialize(*given):
        raise ValueError("coordinator_address should be defined.\nSee the docs")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(InputError, match=r"process None of None: coord.*--coordinator"):
        processes.join()
    code, _, error = run_command("train", "--distributed")
    assert code == 2
    assert error.count("\n") == 1


def test_a_process_without_a_device_is_refused_before_data_are_read(monkeypatch):
    config = presets.resolve(SMALL_RUN | {"devices": 2})
    validate_before_data(config, make_mesh(2))
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    line = r"devices is 2 with 3 processes, and 2 would have none: leave --devices out"
    with pytest.raises(InputError, match=line):
        validate_before_data(config, make_mesh(2))


@dataclasses.dataclass(frozen=True)
class Device:
    """What is asked of a device of a pod."""

    id: int
    process_index: int


def test_a_process_takes_rows_of_its_own_devices_on_a_pod(monkeypatch):
    """Whose processes' devices are not numbered one after the other."""
    pod = [
        Device(i, (i // 4) % 2 + 2 * (i // 16)) for i in range(32)
    ]  # 0-3 and 8-11 are process 0's
    monkeypatch.setattr(jax, "devices", lambda: pod)
    mesh = types.SimpleNamespace(devices=np.array(processes.devices()))
    taken = []
    for process in range(4):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        mine = processes.own_part(64, mesh)
        places = range(mine.start // 2, mine.stop // 2)  # two rows a device
        assert {mesh.devices[k].process_index for k in places} == {process}
        assert len(places) == 8
        taken += range(64)[mine]
    assert sorted(taken) == list(range(64))
