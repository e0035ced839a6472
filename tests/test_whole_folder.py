"""Folders that appear whole: what is removed beside them, and what never is."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fgu_jax import files

FILL = """
import sys, time
from pathlib import Path
from fgu_jax.files import whole_folder
with whole_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("")
    print(folder.parent.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def fill(tmp_path):
    """Starts a process that fills the folder of a name; its scratch, and itself."""
    started = []

    def fill(name):
        process = subprocess.Popen(
            [sys.executable, "-c", FILL, name],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return tmp_path / process.stdout.readline().strip(), process

    yield fill
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def aged(folder):
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (1, 1))
    return folder


def make(path):
    with files.whole_folder(path) as folder:
        (folder / "new").write_text("")


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_fills_is_not(
    fill, tmp_path
):
    (left, dead), (filled, live) = fill("found"), fill("found")
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    make(tmp_path / "found")
    assert left.exists()  # it may have been written to a moment ago
    aged(left), aged(filled)
    make(tmp_path / "found")
    assert not left.exists()
    assert (filled / "new" / "half").exists()
    assert live.poll() is None


def test_what_another_machine_fills_is_left_alone_for_ten_minutes(
    fill, tmp_path, monkeypatch
):
    filled, _ = fill("found")
    monkeypatch.setattr(files.socket, "gethostname", lambda: "elsewhere")
    make(tmp_path / "found")
    assert filled.exists()
    aged(filled)
    make(tmp_path / "found")
    assert not filled.exists()


@pytest.mark.parametrize("name", ["found", "found*", "[f]ound", "found-2"])
def test_folders_of_other_names_stay(tmp_path, fill, name):
    theirs = [tmp_path / other for other in (".found-notes", ".found-2-abcdefgh")]
    left, dead = fill("found-2" if name != "found-2" else "found")
    dead.kill()
    dead.wait()
    theirs.append(left)
    mine, dead = fill(name)
    dead.kill()
    dead.wait()
    theirs.append(mine.with_name(f"{mine.name}-kept"))
    for folder in theirs:
        folder.mkdir(exist_ok=True)
        (folder / "years of work").write_text("")
    for folder in (*theirs, mine):
        aged(folder)
    make(tmp_path / name)
    assert all((folder / "years of work").exists() for folder in theirs)
    assert not mine.exists()


def test_a_scratch_folder_has_a_short_name_whatever_it_becomes(tmp_path):
    final = tmp_path / ("\N{PEDESTRIAN}" * 60)  # 240 bytes, of 255 at the most
    with files.whole_folder(final) as folder:
        name = folder.parent.name
    assert re.fullmatch(rf"\.fgu-new-\w{{16}}-\w{{8}}-{os.getpid()}-\w{{8}}", name)
    assert [Path(path).name for path in tmp_path.iterdir()] == [final.name]
