"""A training that is killed on the way, and whether two runs are the same."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from fgu_jax.inference.trained import read_run

TRAIN = Path(__file__).parents[1] / "experiments" / "train.py"


# Trains like train.py, and dies in its second merge, when that is computed and nothing
# of it is kept yet.
DIES_MERGING = """
import os, runpy, signal, sys
from fgu_jax.training import regrouping

merge, merged = regrouping.merge_clusters, []

def merge_and_die(*args, **kwargs):
    labels = merge(*args, **kwargs)
    merged.append(labels)
    if len(merged) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return labels

regrouping.merge_clusters = merge_and_die
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PATIENCE_SECONDS = 150


class Training:
    """Runs of ``train.py`` in processes of their own, in one folder.

    Each goes on where the one before was killed.
    """

    def __init__(self, config, folder, compiled):
        self.folder = folder
        self._environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        fields = dataclasses.asdict(config) | {"workdir": folder, "save_every": 1}
        self._flags = [
            f"--{name}={'none' if value is None else value}"
            for name, value in fields.items()
            if name != "resume"
        ]

    def start(self, driver=()):
        resume = ["--resume"] if (self.folder / "config.json").exists() else []
        return subprocess.Popen(
            [sys.executable, *driver, TRAIN, *self._flags, *resume],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self):
        process = self.start()
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, said

    def kill_after(self, seconds):
        """Kills that long after the process has its folder; whether it was in time."""
        process = self.start()
        mark = self.folder / "run.json"
        before = mark.stat().st_mtime_ns if mark.exists() else None
        _await(
            process,
            lambda: mark.exists() and mark.stat().st_mtime_ns != before,
            pause=0.01,
        )
        time.sleep(seconds)
        return _kill(process)

    def kill_writing_a_checkpoint(self):
        """Kills while a checkpoint is half written."""
        process = self.start()
        while True:
            _await(process, self._half_written, pause=0.002)
            # Stopped first: it may have got to the end of it meanwhile.
            process.send_signal(signal.SIGSTOP)
            if self._half_written():
                return _kill(process)
            process.send_signal(signal.SIGCONT)

    def kill_merging(self):
        process = self.start(["-c", DIES_MERGING])
        process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode == -signal.SIGKILL

    def _half_written(self):
        folder = self.folder / "checkpoints"
        return any(
            "orbax-checkpoint-tmp" in name
            for name in (os.listdir(folder) if folder.exists() else ())
        )


def _await(process, seen, *, pause):
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up
        time.sleep(pause)


def _kill(process):
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode == -signal.SIGKILL


def _newest(folder):
    """The newest checkpoint's record: the history, and a digest of every array."""
    steps = [p for p in (folder / "checkpoints").iterdir() if p.name.isdigit()]
    newest = max(steps, key=lambda path: int(path.name))
    return json.loads((newest / "history" / "metadata").read_text())


def assert_same_run(folder, left_alone):
    for name in ("metrics.jsonl", "clusters.csv"):
        assert (folder / name).read_bytes() == (left_alone / name).read_bytes()
    assert _newest(folder) == _newest(left_alone)
    found, expected = (read_run(each)[1] for each in (folder, left_alone))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
