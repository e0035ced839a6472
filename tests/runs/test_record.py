"""run.json: what a run was made with, session after session."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import fgu_jax
from fgu_jax.errors import NotWritten
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.runs import record as provenance


def _begin(folder, step=0, **changes):
    about = {"mesh": make_mesh(2), "fingerprint": "abc", "num_images": 7}
    return provenance.RunRecord(folder, **(about | changes), step=step)


def _sessions(folder):
    return json.loads((folder / "run.json").read_text())["sessions"]


def test_a_session_says_what_it_was_made_with(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--seed=1"])
    assert _begin(tmp_path).changes == []
    (session,) = _sessions(tmp_path)
    assert session["command"] == ["train.py", "--seed=1"]
    assert session["data"] == {
        "fingerprint": "abc",
        "images": 7,
        "reading": None,
    }
    assert session["devices"] == {
        "platform": "cpu",
        "kind": jax.devices()[0].device_kind,
        "count": 2,
        "processes": 1,
    }
    names = ["python", "fgu_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint"]
    assert list(session["versions"]) == [*names, "numpy"]
    assert session["versions"]["jax"] == jax.__version__
    assert session["versions"]["fgu_jax"] == fgu_jax.__version__
    assert session["started"].endswith("Z")
    assert (session["from_step"], session["warnings"]) == (0, [])


def test_a_resume_is_added_and_what_changed_is_told(tmp_path, monkeypatch):
    _begin(tmp_path).warn(3, "a cluster")
    assert _begin(tmp_path, step=6).changes == []
    monkeypatch.setattr(provenance, "versions", lambda: {"jax": "99.0"})
    assert _begin(tmp_path, step=9, mesh=make_mesh(4)).changes == [
        f"jax {jax.__version__} -> 99.0",
        "devices' count 2 -> 4",
    ]
    first, second, third = _sessions(tmp_path)
    assert first["warnings"] == [{"epoch": 3, "message": "a cluster"}]
    assert [second["from_step"], third["from_step"]] == [6, 9]
    # Started anew: nothing is gone on with, so nothing has changed.
    assert _begin(tmp_path).changes == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sessions": [1]}', "\xff"])
def test_a_damaged_file_is_kept_and_stops_nothing(tmp_path, content):
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    assert _begin(tmp_path, step=6).changes == []
    assert len(_sessions(tmp_path)) == 1
    kept = tmp_path / "run.json.damaged"
    assert kept.read_text(encoding="latin-1") == content


def test_a_session_of_another_version_is_no_trouble(tmp_path):
    (tmp_path / "run.json").write_text('{"sessions": [{"versions": 3}]}')
    assert _begin(tmp_path, step=6).changes == []


def test_a_command_of_any_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--workdir=\udcff\n é"])
    _begin(tmp_path)
    assert _sessions(tmp_path)[0]["command"][1] == "--workdir=\udcff\n é"


def test_what_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(NotWritten, match=r"run\.json cannot be written: No such file"):
        _begin(tmp_path / "none")


def _git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True)


def test_git_state_of_a_checkout(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    source = package / "__init__.py"
    source.write_text("")
    assert provenance.git_state(package) is None
    _git(tmp_path, "init", "-q")
    # An environment within another project's checkout is not that project.
    assert provenance.git_state(package) is None
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    clean = provenance.git_state(package)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    source.write_text("changed")
    assert provenance.git_state(package) == clean | {"dirty": True}


def test_no_git_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(Path(__file__).parent) is None
