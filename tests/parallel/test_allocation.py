"""Freed memory is kept: pages of a large array are asked for once, in any thread."""

import mmap
import os
import platform
import subprocess
import sys

import pytest

from fgu_jax.parallel import allocation
from fgu_jax.parallel.allocation import keep_freed_memory

PROGRAM = """
import resource, threading
from fgu_jax.parallel.allocation import keep_freed_memory
done = keep_freed_memory() if {keep} else None

def rounds():
    for k in range(20):
        bytes([k]) * (32 << 20)  # 8,192 pages

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=rounds)
thread.start()
thread.join()
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(keep, **environment):
    env = {k: v for k, v in os.environ.items() if "MALLOC" not in k} | environment
    env.pop("GLIBC_TUNABLES", None)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    done, faults = run.stdout.split()
    return done, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_a_freed_array_is_taken_again_without_page_faults():
    assert _faults(False)[1] > 15 * 8192
    done, faults = _faults(True)
    assert done == "True"
    assert faults < 3 * 8192


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_a_malloc_that_was_set_up_by_hand_stays():
    assert _faults(True, MALLOC_ARENA_MAX="2")[0] == "False"


@pytest.mark.parametrize("libc", [("", ""), ("musl", "1.2")])
def test_another_malloc_is_left_alone(monkeypatch, libc):
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    assert keep_freed_memory() is False


def test_a_machine_with_an_accelerator_is_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    for name in ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_"):
        monkeypatch.delenv(name, raising=False)
    assert keep_freed_memory() is False


HOLES = """
import numpy as np
from fgu_jax.parallel.allocation import give_back, keep_freed_memory, resident
keep_freed_memory()
step = np.ones(200 << 20, np.uint8)
above = np.ones(1 << 20, np.uint8)
del step
stays = np.ones(50 << 20, np.uint8)  # in its place, which is too small from now on
if {given_back}:
    give_back()
again = np.ones(200 << 20, np.uint8)
print(resident() >> 10)
"""


def _mebibytes(program):
    env = {k: v for k, v in os.environ.items() if "MALLOC" not in k}
    env.pop("GLIBC_TUNABLES", None)
    return int(subprocess.check_output([sys.executable, "-c", program], env=env))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_what_no_longer_fits_is_given_back():
    kept, given = (_mebibytes(HOLES.format(given_back=x)) for x in (False, True))
    assert kept - given > 100  # of the 150 MiB that nothing is in


def test_within_an_epoch_it_is_given_back_where_the_process_grows(monkeypatch):
    given, now = [], [0]
    monkeypatch.setitem(allocation._state, "keeps", True)
    monkeypatch.setattr(allocation, "resident", lambda: now[0])
    monkeypatch.setattr(allocation, "give_back", lambda: given.append(now[0]))
    growth = allocation.Growth()
    # After the first step; then three say what is usual, and after a growth three more.
    for now[0] in (900, 400, 700, 1000, 1100, 1300, 1301, 900, 1600, 1600, 2000, 2081):
        growth.look()
    assert given == [900, 1301, 2081]
    monkeypatch.setitem(allocation._state, "keeps", False)
    growth = allocation.Growth()
    for now[0] in (1, 1, 1, 9):
        growth.look()
    assert len(given) == 3


@pytest.mark.skipif(platform.system() != "Linux", reason="no /proc")
def test_resident_memory_is_what_was_touched():
    before = allocation.resident()
    with mmap.mmap(-1, 64 << 20) as new:  # what malloc has may be resident already
        for page in range(0, len(new), mmap.PAGESIZE):
            new[page] = 1
        assert allocation.resident() - before > 60 << 10
