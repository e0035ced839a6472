"""A new field that the step uses is one line beside the code that uses it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Where the tests run against an installed wheel there are no sources to change.
pytestmark = pytest.mark.skipif(
    not (ROOT / "fgu_jax").is_dir(), reason="needs a checkout"
)
BESIDE = '    erasing: float = field(0.0, "chance that a rectangle is erased",'
LINE = '    exposure: float = field(1.0, "what pixels are multiplied by", least=0)\n'
USE = "raw.astype(dtype) / 255"
CHECK = """
import dataclasses, json, os
from fgu_jax.config import Config, presets
from fgu_jax.errors import InputError
from fgu_jax.runs import folder
from fgu_jax.training import programs

one = presets.resolve({"exposure": "2", "workdir": "run", "dataset": "synthetic"})
os.mkdir("run")
folder.write_config(one)
assert json.loads(open("run/config.json").read())["exposure"] == 2.0
for config in (one, dataclasses.replace(one, exposure=3.0)):
    try:
        folder.check(dataclasses.replace(config, resume=True, keep=9))
    except InputError as error:
        assert config is not one and "exposure 2.0 -> 3.0" in str(error), error
    else:
        assert config is one
step = programs.train_step(one, 3)
assert programs.train_step(dataclasses.replace(one, seed=7), 3) is step
assert programs.train_step(dataclasses.replace(one, exposure=3.0), 3) is not step
try:
    Config(exposure=-1.0)
except InputError as error:
    assert str(error) == "exposure is -1.0: give 0 or more"
else:
    raise AssertionError("no range")
"""


def test_one_line_is_all_that_a_new_field_needs(tmp_path):
    for folder in ("fgu_jax", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for name, old, new in (
        ("config/fields.py", BESIDE, LINE + BESIDE),
        ("training/step.py", USE, f"{USE} * config.exposure"),
    ):
        path = tmp_path / "fgu_jax" / name
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{name} has not once: {old}"
        path.write_text(text.replace(old, new), "utf-8")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    shown = run("experiments/train.py", "--help")
    assert "--exposure" in shown.stdout, shown.stderr
    assert "what pixels are multiplied by (1.0)" in " ".join(shown.stdout.split())
    done = run("-c", CHECK)
    assert done.returncode == 0, done.stderr
