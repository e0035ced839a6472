"""``--epochs=0``: the untrained network, kept, evaluated, and gone on with."""

import json

import numpy as np
import pytest
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.training import loop


@pytest.fixture(scope="module")
def untrained(drawn_folder, tmp_path_factory):
    given = SMALL_RUN | {"dataset": "market1501", "data_dir": str(drawn_folder)}
    folder = tmp_path_factory.mktemp("untrained") / "run"
    given |= {"workdir": str(folder), "epochs": 0}
    return given, loop.fit(presets.resolve(given), quiet=True)


def test_other_commands_read_it(run_command, untrained, tmp_path):
    _, run = untrained
    assert Checkpoints(run.directory / "checkpoints", read_only=True).latest() == 0
    assert fgu_jax.load(run.directory).step == 0
    output = tmp_path / "scores.json"
    code, _, error = run_command(
        "evaluate", f"--checkpoint={run.directory}", f"--output={output}"
    )
    assert (code, error) == (0, "")
    found = {row["part"]: row["mAP"] for row in json.loads(output.read_text())["rows"]}
    assert found["fused"] == pytest.approx(run.history[0]["fused_mAP"], abs=1e-6)


def test_it_can_be_trained_on(untrained):
    given, run = untrained
    more = presets.resolve(given | {"epochs": 1, "resume": True, "merge_fraction": 0.1})
    trained = loop.fit(more, quiet=True)
    assert trained.history[0] == run.history[0]
    assert [record["epoch"] for record in trained.history] == [0, 1]
    assert np.isfinite(trained.history[1]["loss"])
