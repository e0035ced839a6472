"""The Colab notebook: stripped, and its cells run from top to bottom."""

import json
import os
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
