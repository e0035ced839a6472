"""A disk that fills up under a run: one line, exit code 1, and nothing is lost."""

import argparse
import dataclasses
import os

import pytest
from killed_runs import Training, assert_same_run

from fgu_jax import files
from fgu_jax.commands import command_line


@pytest.mark.parametrize(
    ("how", "mend"),
    [
        ({}, "make room and go on with --resume"),
        (
            {"go_on": "the same command goes on"},
            "make room and the same command goes on",
        ),
    ],
)
def test_what_cannot_be_written_has_its_own_exit_code(capsys, tmp_path, how, mend):
    def command(_):
        files.append(tmp_path / "gone" / "metrics.jsonl", "{}\n")

    with pytest.raises(SystemExit) as left:
        command_line.main(command, argparse.ArgumentParser(prog="x.py"), [], **how)
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("x.py: ")
    assert said.endswith(f"cannot be written: No such file or directory; {mend}\n")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_run_that_fills_the_disk_goes_on_when_there_is_room(
    trained_run, small_disk, tmp_path
):
    config = dataclasses.replace(trained_run.config, report=True)
    training = Training(config, small_disk / "run", tmp_path / "compiled")
    fill = small_disk / "fill"
    # Room for nothing; for the small files; for a part of a checkpoint of 9 MB; for one
    # of them.
    for room in (0, 40_000, 4_000_000, 14_000_000):
        free = os.statvfs(small_disk)
        fill.write_bytes(bytes(max(free.f_bavail * free.f_bsize - room, 0)))
        process = training.start()
        said, _ = process.communicate(timeout=300)
        fill.unlink()
        assert process.returncode == 1, said
        assert "Traceback" not in said
        last = said.splitlines()[-1]
        assert last.startswith("train.py: ")
        assert "cannot be written" in last
        assert "No space left on device" in last
    assert "stays: make room and go on with --resume" in last
    training.finish()
    assert_same_run(training.folder, trained_run.directory)
