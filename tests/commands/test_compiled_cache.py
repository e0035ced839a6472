"""Where compiled programs are kept, and that a second start runs those."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from fgu_jax.commands.compiled_cache import keep_compiled
from fgu_jax.errors import InputError

_PROGRAM = """
import sys
from fgu_jax.commands.compiled_cache import keep_compiled
keep_compiled(sys.argv[1] if len(sys.argv) > 1 else None)
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
x = jnp.asarray(np.random.default_rng(0).standard_normal((64, 48)), jnp.float32)
f = jax.jit(lambda x: jax.nn.logsumexp(x @ x.T / 3, axis=1))
print(np.asarray(f(x)).tobytes().hex())
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """As in a process of its own, and as before after the test."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def start(*arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def test_a_second_start_gives_the_same_bits_and_says_nothing(tmp_path):
    base = str(tmp_path)
    first = start(XDG_CACHE_HOME=base)
    (folder,) = (tmp_path / "fgu_jax" / "xla").iterdir()
    kept = sorted(file.name for file in folder.iterdir() if "-cache" in file.name)
    assert kept
    for place in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    second = start(XDG_CACHE_HOME=base)
    now = sorted(file.name for file in folder.iterdir() if "-cache" in file.name)
    assert now == kept, "the second start compiled anew"
    without = start("none", XDG_CACHE_HOME=base)
    assert first.stdout == second.stdout == without.stdout
    assert first.stderr == second.stderr == without.stderr == ""


def test_a_damaged_file_costs_time_alone(tmp_path):
    first = start(str(tmp_path))
    for file in tmp_path.iterdir():
        if "-cache" in file.name:
            file.write_bytes(b"not a program")
    assert start(str(tmp_path)).stdout == first.stdout


def test_the_choice_of_a_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keep_compiled("none") is None
    assert not jax.config.jax_compilation_cache_dir
    chosen = tmp_path / "a" / "b"
    assert keep_compiled(str(chosen)) == chosen
    assert jax.config.jax_compilation_cache_dir == str(chosen)
    # What JAX was told before stays, as by $JAX_COMPILATION_CACHE_DIR.
    assert keep_compiled() == chosen
    jax.config.update("jax_compilation_cache_dir", None)
    assert tmp_path in keep_compiled().parents
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="give a folder or 'none'"):
        keep_compiled(str(tmp_path / "file" / "folder"))


def test_nothing_is_kept_where_it_cannot_be_or_others_may_write(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert keep_compiled() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "fgu_jax").mkdir()
    (tmp_path / "fgu_jax").chmod(0o777)
    assert keep_compiled() is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", _no_home)
    assert keep_compiled() is None
    assert not jax.config.jax_compilation_cache_dir


def _no_home():
    raise RuntimeError("Could not determine home directory.")
