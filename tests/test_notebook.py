"""The Colab notebook: stripped, and its cells run from top to bottom."""

import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fgu_jax

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "experiments" / "colab_tpu.ipynb"


def _cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_is_stripped_and_thin():
    code = [cell for cell in _cells() if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in code)
    assert all(cell["execution_count"] is None for cell in code)
    assert sum(len(cell["source"]) for cell in code) < 90


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """Runs all cells up to the one that trains as a fresh kernel of Colab does."""
    source = tmp_path / "source"
    (source / "experiments").mkdir(parents=True)
    (source / "experiments" / "train.py").write_text("")
    git = ("git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "a")):
        subprocess.run([*git, *command], check=True)
    mounted: list[str] = []
    drive = types.SimpleNamespace(mount=mounted.append)
    module = types.ModuleType("google.colab")
    module.__dict__["drive"] = drive
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(sys, "executable", shutil.which("true"))  # installs nothing
    monkeypatch.setenv("FGU_REPOSITORY", str(source))
    monkeypatch.delenv("FGU_RUN", raising=False)
    (tmp_path / "content").mkdir()

    def start(folder=tmp_path / "content"):
        monkeypatch.chdir(folder)
        names: dict = {"__name__": "__main__"}
        code = ["".join(c["source"]) for c in _cells() if c["cell_type"] == "code"]
        for cell in code[:3]:
            exec(compile(cell, str(NOTEBOOK), "exec"), names)
        return names, mounted

    return start


def test_in_colab_all_cells_may_be_run_again(colab, tmp_path):
    clone = tmp_path / "content" / "fgu_jax_repository"
    colab()
    assert Path.cwd() == clone
    (clone / "own.txt").write_text("")
    colab()  # the kernel was restarted; the disk is as it was
    assert Path.cwd() == clone
    assert (clone / "own.txt").exists()
    colab(clone)  # only the cells were run again
    assert Path.cwd() == clone
    assert [path.name for path in clone.parent.iterdir()] == [clone.name]


def test_in_colab_the_run_outlives_the_machine(colab, monkeypatch):
    names, mounted = colab()
    assert mounted == ["/content/drive"]
    assert names["RUN"] == "/content/drive/MyDrive/fgu_runs/synthetic"
    monkeypatch.setenv("FGU_RUN", "elsewhere")
    assert colab()[0]["RUN"] == "elsewhere"


def test_its_cells_run(drawn_folder, tmp_path, monkeypatch, capsys):
    # The code cells as they stand, in one namespace, without a notebook server: two
    # epochs on drawn images, by the environment that the first cell reads.
    flags = (
        "--preset=quick-2026-11 --backbone=resnet_micro --image_height=32 "
        "--image_width=16 --num_patches=2 --patch_dim=8 --num_neighbors=4 "
        "--batch_size=8 --epochs=2 --merge_start=1 --merge_stop=2 --merge_every=1 "
        "--merge_fraction=0.1 --devices=1 --report=false"
    )
    run = tmp_path / "runs" / "notebook"
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FGU_DATASET", "market1501")
    monkeypatch.setenv("FGU_DATA", str(drawn_folder))
    monkeypatch.setenv("FGU_RUN", str(run))
    monkeypatch.setenv("FGU_FLAGS", flags)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", os.environ["FGU_TEST_CACHE"])
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    names: dict = {"__name__": "__main__"}
    for cell in _cells():
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    assert not names["IN_COLAB"]
    said = capsys.readouterr().out
    assert "epoch   2/2" in said
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    exported = fgu_jax.load(tmp_path / "runs" / "fgu_exported")
    assert exported.identity == fgu_jax.load(run).identity
    # A failing command stops the notebook.
    with pytest.raises(RuntimeError, match="left with 2"):
        names["run"](names["sys"].executable, "experiments/train.py", "--no_such=1")
