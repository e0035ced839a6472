"""What a user types wrongly: one line, exit code 2, no traceback."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import fgu_jax
from fgu_jax.commands import command_line
from fgu_jax.config import FIELDS

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "experiments" / "train.py"


@pytest.fixture(scope="module")
def train():
    spec = importlib.util.spec_from_file_location("train_command", TRAIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def refused(train, capsys, tmp_path, monkeypatch):
    """Runs the command in an empty folder; gives the one line that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            command_line.main(train.train, train.parser(), arguments)
        printed = capsys.readouterr()
        assert left.value.code == 2
        assert "Traceback" not in printed.out + printed.err
        lines = printed.err.splitlines()
        assert len(lines) == 1
        return lines[0]

    return run


def _images(folder, count=12):
    folder.mkdir()
    for k in range(count):
        Image.new("RGB", (16, 32), (20 * k, 90, 200)).save(folder / f"{k}.png")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--dataset=marktet1501"], ["marktet1501", "market1501"]),
        (["--preset=papr"], ["papr", "paper"]),
        (["--epchs=3"], ["--epchs", "--epochs"]),
        (["--merge-fraction=1"], ["--merge_fraction"]),
        (["nonsense"], ["nonsense"]),
        (["--epochs=many"], ["epochs", "many", "whole number"]),
        (["--epochs"], ["--epochs"]),
        (["--merge_criterion=mean"], ["mean", "average"]),
        (["--learning_rate=nan"], ["learning_rate", "nan"]),
        (["--temperature=0"], ["temperature", "0"]),
        (["--seed=-1"], ["seed", "-1"]),
        (["--dataset=duke"], ["DukeMTMC", "withdr", "2019", "prepare.py"]),
        (["--dataset=market1501"], ["Market-1501", "prepare.py"]),
        (["--dataset=msmt17"], ["MSMT17", "prepare.py"]),
        (["--dataset=folder", "--data_dir=none"], ["none"]),
        (["--num_patches=3"], ["num_patches", "3", "1, 2, 4, 8"]),
        (["--devices=3"], ["batch_size 32", "3 devices"]),
        (["--devices=9"], ["9", "8"]),
        (["--backbone=resnet51"], ["resnet51", "resnet50"]),
        (["--resume"], ["resume"]),
    ],
)
def test_one_line_says_it(refused, arguments, parts):
    line = refused(*arguments)
    for part in parts:
        assert part in line


SMALL = (
    "--dataset=folder",
    "--data_dir=images",
    "--preset=quick-2026-11",
    "--backbone=resnet_micro",
    "--devices=1",
    "--image_height=32",
    "--image_width=16",
    "--num_patches=2",
    "--num_neighbors=3",
    "--batch_size=4",
    "--merge_fraction=0.1",
    "--epochs=1",
)


def test_unreadable_images_are_named(refused, tmp_path):
    _images(tmp_path / "images")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    (tmp_path / "images" / "empty.png").write_bytes(b"")
    line = refused(*SMALL)
    assert "broken.jpg" in line
    assert "empty.png" in line
    assert "skip_bad" in line


def test_too_little_data(refused, tmp_path):
    _images(tmp_path / "images")
    assert "13" in refused(*SMALL, "--batch_size=13", "--workdir=a")
    assert "12" in refused(*SMALL, "--num_neighbors=12", "--workdir=b")
    assert "fewer than 2" in refused(
        *SMALL, "--merge_fraction=0.95", "--merge_start=1", "--workdir=c"
    )


def test_a_folder_that_is_no_run(refused, tmp_path):
    _images(tmp_path / "images")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "not empty" in refused(*SMALL, "--workdir=run")
    (tmp_path / "run" / "config.json").write_text("{")
    assert "not JSON" in refused(*SMALL, "--workdir=run", "--resume")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_help_names_every_field(train, capsys):
    with pytest.raises(SystemExit) as left:
        train.parser().parse_args(["--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"--{name}" in printed for name in FIELDS)


def test_in_a_process_of_its_own(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, TRAIN, "--dataset=duke"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("train.py: ")


@pytest.mark.parametrize(("name", "hand"), [("train", "fit"), ("pretrain", "pretrain")])
def test_own_images_without_an_accelerator(run_command, monkeypatch, name, hand):
    taken = []
    monkeypatch.setattr(fgu_jax, hand, taken.append)
    asked = [[], ["--preset=quick"]]
    if name == "train":  # of methods too, but those that train nothing
        asked += [["--method=spcl"], ["--method=lomo"]]
    for given in asked:
        assert run_command(name, "--dataset=folder", "--data_dir=x", *given)[0] == 0
    presets = ["laptop", "quick", "laptop", "paper"]
    assert [config.preset for config in taken] == presets[: len(asked)]
    assert run_command(name, "--dataset=synthetic")[0] == 0
    assert taken[-1].preset == "quick"
