"""The readers of strangers' files, 100,000 damaged inputs each (the long suite)."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).parent / "fuzz" / "fuzz.py"
INPUTS = 100_000


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="needs atheris")
@pytest.mark.parametrize("reader", ["pth", "image", "config"])
def test_no_input_breaks_a_reader(reader, tmp_path):
    command = [sys.executable, str(COMMAND), reader, f"--inputs={INPUTS}"]
    done = subprocess.run(
        [*command, f"--findings={tmp_path}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"inputs": {INPUTS}, "failed": 0' in done.stdout
    assert not list(tmp_path.iterdir())
