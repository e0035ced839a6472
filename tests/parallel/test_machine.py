"""What the machine says that it can give."""

import os

import pytest

from fgu_jax.parallel import machine
from fgu_jax.parallel.machine import free_memory


def test_free_memory_is_read_where_the_system_says_it(monkeypatch, tmp_path):
    said = tmp_path / "meminfo"
    said.write_text("MemTotal: 9 kB\nMemAvailable:      3 kB\n")

    def opened(path, **how):
        assert path == "/proc/meminfo"
        return open(said, **how)

    monkeypatch.setattr(machine, "open", opened, raising=False)
    assert free_memory() == 3 * 1024


@pytest.mark.parametrize("error", [AttributeError, OSError, ValueError])
def test_free_memory_of_other_systems(monkeypatch, error):
    def missing(*_, **__):
        raise FileNotFoundError

    def sysconf(name):
        known = {"SC_PHYS_PAGES": 5, "SC_PAGE_SIZE": 4096}
        if name not in known:
            raise error
        return known[name]

    monkeypatch.setattr(machine, "open", missing, raising=False)
    monkeypatch.setattr(os, "sysconf", sysconf)
    assert free_memory() == 5 * 4096
    monkeypatch.setattr(os, "sysconf", missing)
    assert free_memory() == float("inf")


def test_free_memory_is_measured():
    assert free_memory() > 1 << 20
