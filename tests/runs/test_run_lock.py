"""Two processes never train in one folder."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from fgu_jax.errors import InputError
from fgu_jax.runs import lock

HOLD = """
import sys, time
from pathlib import Path
from fgu_jax.runs import lock

with lock.hold(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def _refused(directory):
    with (
        pytest.raises(InputError) as raised,
        lock.hold(directory, lambda _: pytest.fail("no lock")),
    ):
        pass
    return str(raised.value)


def test_the_second_is_refused_with_pid_and_host(holder, tmp_path):
    line = _refused(tmp_path)
    assert f"in use by process {holder.pid} on {os.uname().nodename} since 20" in line
    assert "--workdir" in line
    assert "\n" not in line
    with pytest.raises(InputError, match=f"process {holder.pid} on"):
        lock.check_free(tmp_path)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_death_releases_it(holder, tmp_path, signum):
    holder.send_signal(signum)
    holder.wait()
    lock.check_free(tmp_path)
    with lock.hold(tmp_path, pytest.fail):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()
    lock.check_free(tmp_path)


def test_one_process_does_not_hold_it_twice(tmp_path):
    with lock.hold(tmp_path, pytest.fail):
        assert f"process {os.getpid()}" in _refused(tmp_path)
    with lock.hold(tmp_path, pytest.fail):
        pass


def test_looking_leaves_nothing(tmp_path):
    lock.check_free(tmp_path)
    lock.check_free(tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "\0" * 40])
def test_whatever_the_file_says_the_lock_counts(tmp_path, content):
    path = tmp_path / lock.NAME
    with lock.hold(tmp_path, pytest.fail):
        path.write_text(content)
        assert "in use by another process:" in _refused(tmp_path)
    lock.check_free(tmp_path)  # no lock is held, whatever is written there


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_filesystem_without_locks_is_told_of(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    said = []
    with lock.hold(tmp_path, said.append):
        pass
    lock.check_free(tmp_path)
    assert len(said) == 1
    assert "cannot be locked" in said[0]


def test_a_system_without_locks_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    said = []
    with lock.hold(tmp_path, said.append):
        pass
    assert "cannot be locked" in said[0]


def test_another_error_of_locking_is_one_line(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    assert "cannot be locked: Input/output error" in _refused(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    assert "none cannot be written: No such file" in _refused(tmp_path / "none")
