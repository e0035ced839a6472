"""What commands tell of what they read, and keep; what they refuse, with the mend."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_trees import put
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.config import values as config_values
from fgu_jax.config.located import data_dirs, find_table, located
from fgu_jax.errors import InputError
from fgu_jax.files import mend_of

_UNUSED = ("epochs", "devices", "merge_start", "merge_every", "merge_stop")
TRAIN = [
    f"--{k}={v}" for k, v in SMALL_RUN.items() if k not in (*_UNUSED, "merge_fraction")
]
TRAIN += ["--dataset=folder", "--devices=1", "--epochs=1", "--merge_fraction=0"]


@pytest.fixture
def crops(tmp_path):
    root = tmp_path / "crops"
    for i in range(5):
        for camera in (1, 2):
            put(root / f"{i:03d}_c{camera}.png", i, camera)
    (root / "notes.txt").write_text("no picture")
    os.mkfifo(root / "x.jpg")
    return root


READ = "read {}: 10 of 12 files; 10 training images"


def test_training_tells_its_reading_keeps_it_and_resumes_alone(
    run_command, crops, tmp_path, monkeypatch
):
    monkeypatch.chdir(crops)
    run = crops / "runs" / "r"
    given = ["--data_dir=.", f"--workdir={run}", "--pattern={identity}_c{camera}.png"]
    code, out, err = run_command("train", *TRAIN, *given)
    assert (code, err) == (0, "")
    assert READ.format(".") in out
    assert "    1: a named pipe; 'x.jpg'" in out
    assert "  read '000_c1.png' as identity '000', camera '1'" in out
    [session] = json.loads((run / "run.json").read_text())["sessions"]
    reading = session["data"]["reading"]
    assert reading["taken"] == 10
    assert reading["left_out"]["not a picture (.txt)"]["first"] == ["notes.txt"]
    config = config_values.load(run / "config.json")
    assert config.data_dir == str(crops)
    # The run's own plots and checkpoints are no images now, and nothing is said twice.
    monkeypatch.chdir(tmp_path)
    code, out, err = run_command("train", f"--workdir={run}", "--resume", "--epochs=2")
    assert (code, err) == (0, "")
    assert "10 training images" in out
    assert ": the folder of a run; 'runs/r/" in out
    assert config_values.load(run / "config.json").epochs == 2
    code, _, err = run_command(
        "train", *TRAIN, *given, "--resume", "--backbone=resnet18"
    )
    assert code == 2
    assert "cannot be resumed with backbone" in err
    put(crops / "new_c1.png")
    code, _, err = run_command("train", f"--workdir={run}", "--resume")
    assert code == 2
    assert f"--init={run}" in err


def test_one_camera_is_said_once_and_truly(run_command, crops, tmp_path):
    for path in crops.glob("*_c2.png"):
        path.rename(path.with_name(path.name.replace("c2", "c1_b")))
    given = [f"--data_dir={crops}", f"--workdir={tmp_path / 'run'}"]
    code, out, _ = run_command(
        "train", *TRAIN, *given, "--pattern={identity}_c{camera}*"
    )
    assert code == 0
    assert out.count("all are of one camera: leave the camera out") == 1
    assert "no identities to rank" not in out


def test_a_table_is_found_beside_the_images(crops, tmp_path, monkeypatch):
    (crops / "labels.csv").write_text("image,identity\n")
    monkeypatch.chdir(tmp_path)
    assert find_table("labels.csv", str(crops)) == crops / "labels.csv"
    assert find_table("gone.csv", str(crops)) == Path("gone.csv")
    config = presets.resolve(
        {"dataset": "folder", "data_dir": "crops", "pattern": "labels.csv"}
    )
    assert located(config).pattern == str(crops / "labels.csv")
    assert located(config).data_dir == str(crops)
    assert located(located(config)) == located(config)
    (tmp_path / "a:b").mkdir()
    assert data_dirs("a:b") == ("a:b",)
    assert data_dirs(os.pathsep.join(["c", "d"])) == ("c", "d")


@pytest.mark.parametrize("ending", [".npz", ".csv"])
def test_embed_writes_what_its_ending_says(
    run_command, trained_run, crops, tmp_path, ending
):
    output = tmp_path / f"f{ending}"
    code, out, err = run_command(
        "embed",
        f"--checkpoint={trained_run.directory}",
        f"--images={crops}",
        f"--output={output}",
    )
    assert (code, err) == (0, "")
    assert READ.format(crops) in out
    network = fgu_jax.load(trained_run.directory)
    if ending == ".npz":
        with np.load(output) as found:
            names, features = found["names"].tolist(), found["features"]
            assert json.loads(str(found["run"]))["reading"]["taken"] == 10
    else:
        with output.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert header[:2] == ["image", "f0"]
        names = [row[0] for row in rows]
        features = np.array([row[1:] for row in rows], np.float32)
    np.testing.assert_array_equal(features, network([crops / n for n in names]))


@pytest.mark.parametrize(
    ("command", "name", "message"),
    [
        ("embed", "x.parquet", "ends in .parquet: give an --output in .npz or .csv"),
        ("embed", "x.pt", "ends in .pt: give"),
        ("embed", "x", "ends in nothing: give"),
        ("cluster", "x.xlsx", "ends in .xlsx: give an --output in .csv"),
        ("export", "model.onnx", "ends in .onnx, and a folder is written"),
        ("export", "model.PT", "ends in .pt, and a folder is written"),
    ],
)
def test_an_ending_that_is_not_written_is_refused(
    run_command, trained_run, crops, tmp_path, command, name, message
):
    given = [f"--checkpoint={trained_run.directory}", f"--output={tmp_path / name}"]
    if command != "export":
        given.append(f"--images={crops}")
    code, _, err = run_command(command, *given)
    assert code == 2
    assert message in err
    assert not (tmp_path / name).exists()


def test_evaluate_counts_what_is_ranked_and_names_output(
    run_command, trained_run, crops, tmp_path
):
    put(crops / "-1_c1.png", 9)
    run = tmp_path / "run"
    shutil.copytree(trained_run.directory, run)
    given = [
        *(f"--checkpoint={run}", "--dataset=folder", f"--data_dir={crops}"),
        "--pattern={identity}_c{camera}.png",
    ]
    code, out, err = run_command("evaluate", *given)
    assert (code, err) == (0, "")
    assert "10 gallery images" in out
    [path] = run.glob("evaluation-folder-crops-*.json")
    record = json.loads(path.read_text())
    assert record["num_gallery"] == 10
    assert record["reading"]["taken"] == 11
    other = tmp_path / "other"
    shutil.copytree(crops, other, ignore=shutil.ignore_patterns("*.jpg"))
    assert run_command("evaluate", *given, f"--data_dir={other}")[0] == 0
    assert len(list(run.glob("evaluation-folder-*.json"))) == 2
    (run / "evaluation-market1501.json").mkdir()
    code, _, err = run_command("evaluate", f"--checkpoint={run}")
    assert code == 2
    assert "name another file with --output" in err


def test_a_console_of_another_encoding_loses_nothing(trained_run, crops, tmp_path):
    put(crops / "\u65e5\u672c.png")
    put(tmp_path / "query" / "\u041a.png")
    command = [
        *(sys.executable, "-m", "fgu_jax", "search", f"--query={tmp_path / 'query'}"),
        *(f"--checkpoint={trained_run.directory}", f"--gallery={crops}"),
        *(f"--output={tmp_path / 'found'}", "--compilation_cache=none", "--cache=none"),
    ]
    for encoding in ("cp1252", "ascii"):
        environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "200"}
        found = subprocess.run(
            [*command, "--overwrite"], env=environment, capture_output=True, check=False
        )
        assert (found.returncode, found.stderr) == (0, b"")
        assert b"\\u65e5\\u672c.png" in found.stdout


@pytest.mark.parametrize(
    ("number", "mend"),
    [(13, "choose another --workdir"), (30, "choose another"), (28, "make room")],
)
def test_the_mend_is_that_of_the_reason(number, mend):
    assert mend in mend_of(OSError(number, "x"))


def test_a_resume_of_nothing_is_refused_as_before(run_command, tmp_path):
    code, _, err = run_command("train", "--resume", f"--workdir={tmp_path / 'none'}")
    assert code == 2
    assert "holds no run to resume" in err


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory):
    """A run of one epoch on own pictures, for what is refused of it."""
    folder = tmp_path_factory.mktemp("resumed")
    for k in range(64):
        put(folder / "crops" / f"{k % 8}_c{k % 3}_{k}.png")
    given = SMALL_RUN | {
        "dataset": "folder",
        "data_dir": str(folder / "crops"),
        "pattern": "{identity}_c{camera}_*.png",
        "workdir": str(folder / "run"),
        "epochs": 1,
    }
    fgu_jax.fit(presets.resolve(given), quiet=True)
    return folder / "run"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--batch_size=4"], "cannot be resumed with batch_size 8 -> 4: give the old"),
        (["--epochs=0"], "epochs is 0, and {run} has done 1: give 1 or more"),
        (["--preset=tuned"], "cannot be resumed with backbone "),
    ],
)
def test_a_resume_names_what_was_given(finished_folder, run_command, more, said):
    before = (finished_folder / "config.json").read_bytes()
    resume = ["--resume", f"--workdir={finished_folder}"]
    code, _, err = run_command("train", *resume, *more)
    assert code == 2
    assert said.format(run=finished_folder) in err
    assert "dataset" not in err
    assert (finished_folder / "config.json").read_bytes() == before


def test_a_picture_of_pillow_is_a_query(trained_run):
    from drawn_trees import picture

    network = fgu_jax.load(trained_run.directory)
    one = network(picture(1))
    np.testing.assert_array_equal(one, network(np.asarray(picture(1))))
    np.testing.assert_array_equal(one, network(iter([picture(1)])))
    with pytest.raises(InputError, match="image 1 is"):
        network([picture(1), np.zeros(3)])
