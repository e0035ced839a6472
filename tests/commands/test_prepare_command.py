"""`data_prep/prepare.py` from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from archives import MARKET, load, picture, unpacked, zipped

PREPARE = Path(__file__).parents[2] / "data_prep" / "prepare.py"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(PREPARE), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_command_line(tmp_path):
    zipped(tmp_path / "m.zip", MARKET)
    done = run("--dataset=market1501", "--source=m.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {
        line.split("\u2502")[1].strip(): line
        for line in done.stdout.splitlines()
        if "\u2502" in line
    }
    assert "12,936" in lines["training images"]
    assert "DIFFERS" in lines["training images"]
    assert (tmp_path / "data" / "market1501" / "1.0.0").is_dir()
    done = run("--dataset=market1501", "--source=m.zip", cwd=tmp_path)
    assert "nothing written" in done.stdout
    assert "earlier version" not in done.stdout
    metadata = tmp_path / "data" / "market1501" / "1.0.0" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"content"', '"other"'))
    done = run("--dataset=market1501", "--source=m.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "earlier version" in done.stdout.splitlines()[-1]


def test_a_pattern_may_be_a_table_as_of_other_commands(tmp_path):
    unpacked(tmp_path / "crops", {f"{k}.png": picture(k, "PNG") for k in range(4)})
    lines = "".join(f"{k}.png,owl{k // 2}\n" for k in range(4))
    (tmp_path / "crops" / "lab.csv").write_text("image,identity\n" + lines)
    given = ("--dataset=folder", "--source=crops", "--pattern=lab.csv")
    done = run(*given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'2.png' as identity 'owl1'" in done.stdout
    again = {"pattern": None, "table": tmp_path / "crops" / "lab.csv"}
    data = load("folder", data_dir=tmp_path / "data", **again)
    assert data.identity_names == ("owl0", "owl1")
    done = run(*given, "--table=other.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "--pattern=lab.csv and --table=other.csv are two tables" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=markt1501", "--source=."], "did you mean 'market1501'"),
        (["--dataset=duke", "--source=nowhere.zip"], "is not there"),
        (["--dataset=duke", "--sorce=x"], "did you mean --source"),
        ([], "--dataset"),
    ],
)
def test_command_line_errors_are_one_line(tmp_path, arguments, message):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_command_line_help(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "bounding_box_train/" in done.stdout
