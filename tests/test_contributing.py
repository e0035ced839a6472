"""The worked examples of CONTRIBUTING.md, followed to the letter in a copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
# Where the tests run against an installed wheel there are no sources to change.
pytestmark = pytest.mark.skipif(
    not (ROOT / "fgu_jax").is_dir(), reason="needs a checkout"
)
EXAMPLES = re.findall(
    r"^## Example: (.*?)$.*?^```diff\n(.*?)^```$.*?^```python\n(.*?)^```$",
    GUIDE,
    re.M | re.S,
)


def apply(diff: str, root: Path) -> None:
    """Each hunk replaces the one place where its old lines stand."""
    for part in re.split(r"^--- ", diff, flags=re.M)[1:]:
        name, _, hunks = part.partition("\n")
        path = root / name
        text = path.read_text("utf-8")
        for hunk in re.split(r"^@@\n", hunks, flags=re.M)[1:]:
            lines = hunk.splitlines(keepends=True)
            assert {line[0] for line in lines} <= set(" +-")
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
            assert text.count(old) == 1, f"{name} has not once:\n{old}"
            text = text.replace(old, new)
        path.write_text(text, "utf-8")


def test_every_example_is_found():
    titles = [title for title, _, _ in EXAMPLES]
    assert titles == ["a dataset", "a backbone", "a merge criterion"]
    assert GUIDE.count("```diff") == len(EXAMPLES)


@pytest.mark.parametrize(
    ("diff", "check"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_an_example_works(diff, check, tmp_path):
    shutil.copytree(ROOT / "fgu_jax", tmp_path / "fgu_jax")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def run():
        command = [sys.executable, "-c", check]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    assert run().returncode != 0  # the check can fail
    for made in tmp_path.glob("cuhk03*"):
        shutil.rmtree(made)
    apply(diff, tmp_path)
    done = run()
    assert done.returncode == 0, done.stderr
