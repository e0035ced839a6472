"""One row of a benchmark: checked, timed beside its rivals, weighed in a process alone.

Subjects take turns, so that a machine that slows down slows all of them. Peak memory
is that of a fresh process which does the work once, over what it held before.
"""

import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fgu_jax.bench import piece
from fgu_jax.bench.machine import Rates
from fgu_jax.errors import InputError
from fgu_jax.parallel import machine
from fgu_jax.progress import Progress

OURS = "fgu_jax"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A piece of work: ours, and the same done otherwise.

    Attributes:
      what: the row's title, with its sizes.
      run: does the work to its end and gives the result.
      rivals: the same by others, by name.
      check: takes results by name, ``fgu_jax`` and rivals; raises ``Unequal``, or says
        what was compared.
      operations: floating-point operations that nothing can spare.
      moved: bytes that must be read or written.
      compiles: the first run compiles, and does not count for memory.
      items: how many images the work does; 0 where it has no such number.
      notes: what a reader of the figures must know.
    """

    what: str
    run: Callable[[], Any]
    check: Callable[[Mapping[str, Any]], str]
    rivals: Mapping[str, Callable[[], Any]] = dataclasses.field(default_factory=dict)
    operations: float = 0.0
    moved: float = 0.0
    compiles: bool = True
    items: int = 0
    notes: tuple[str, ...] = ()


class Unequal(InputError):
    """Results that should be the same are not: nothing is timed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to measure.

    Attributes:
      repeats: of each subject, fewer where they take longer than ``seconds`` in all.
      seconds: for the repeats of one subject; one run is made in any case.
      memory: whether to weigh subjects in processes of their own.
      rivals: whether to run others beside ours.
    """

    repeats: int = 7
    seconds: float = 20.0
    memory: bool = True
    rivals: bool = True


def close(
    found: Any, expected: Any, what: str, *, rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    """Raises ``Unequal`` unless two results agree.

    >>> close([1.0], [1.0], "ones")
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise Unequal(f"{what}: shapes {found.shape} and {expected.shape}")
    far = np.abs(found.astype(float) - expected)
    off = far > atol + rtol * np.abs(expected)
    if off.any() or not np.isfinite(found).all():
        raise Unequal(
            f"{what}: {off.sum()} of {off.size} differ, by {far.max():.3g} at most"
        )


def same_as(results: Mapping[str, Any], what: str) -> str:
    """``what`` with the names of those that it was compared with."""
    others = [name for name in results if name != OURS]
    return f"{what} equal to {', '.join(others)}" if others else f"{what} not compared"


def rows_of(
    name: str,
    sizes: Any,
    rates: Rates,
    options: Options,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rows of a piece, by its works or its own way."""
    module = piece(name)
    if not hasattr(module, "works"):
        return module.rows(sizes, rates, progress)
    return measure(name, sizes, module.works(sizes), rates, options, progress)


def plain_row(
    what: str, checked: str, seconds: Sequence[float], **more: Any
) -> dict[str, Any]:
    """A row of what nothing rivals; without a floor, unless it is among ``more``."""
    return {
        "what": what,
        "checked": checked,
        "floor_seconds": 0.0,
        "over_floor": None,
        "rivals": {},
        **spread(seconds),
        **more,
    }


def measure(
    name: str,
    sizes: Any,
    works: Sequence[Work],
    rates: Rates,
    options: Options,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rows of a piece, in the order of its works."""
    rows = []
    for number, work in enumerate(works):
        if progress is not None:
            progress(number, len(works), name)
        subjects = {OURS: work.run} | (dict(work.rivals) if options.rivals else {})
        first, results = {}, {}
        for who, subject in subjects.items():
            start = time.perf_counter()
            results[who] = jax.block_until_ready(subject())
            first[who] = time.perf_counter() - start
        checked = work.check(results)
        del results
        seconds = _take_turns(subjects, first, work.compiles, options)
        peaks = {}
        if options.memory:
            for who in subjects:
                order = [name, dataclasses.asdict(sizes), number, who]
                peaks[who] = in_a_process("child", order, who)
        rows.append(_row(work, checked, seconds, peaks, rates))
    if progress is not None:
        progress(len(works), len(works), name)
    return rows


def _take_turns(
    subjects: Mapping[str, Callable[[], Any]],
    first: Mapping[str, float],
    compiles: bool,
    options: Options,
) -> dict[str, list[float]]:
    """Seconds of each run. A first run counts only where it is all that there is time
    for and compiled nothing."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    if not compiles:
        for name, seconds in first.items():
            if 2 * seconds > options.seconds:
                taken[name].append(seconds)
    for _ in range(options.repeats):
        for name, subject in subjects.items():
            past = taken[name]
            if past and sum(past) + max(past) > options.seconds:
                continue
            gc.collect()
            start = time.perf_counter()
            jax.block_until_ready(subject())
            taken[name].append(time.perf_counter() - start)
    return taken


def _row(
    work: Work,
    checked: str,
    seconds: Mapping[str, list[float]],
    peaks: Mapping[str, dict[str, float]],
    rates: Rates,
) -> dict[str, Any]:
    ours = statistics.median(seconds[OURS])
    floor = rates.floor(work.operations, work.moved)
    row: dict[str, Any] = {
        "what": work.what,
        "checked": checked,
        "floor_seconds": floor,
        "operations": work.operations,
        "bytes": work.moved,
        "over_floor": ours / floor if floor else None,
        **spread(seconds[OURS]),
        **peaks.get(OURS, {}),
        "rivals": {
            name: spread(taken)
            | {"ratio": statistics.median(taken) / ours}
            | peaks.get(name, {})
            for name, taken in seconds.items()
            if name != OURS
        },
    }
    if work.notes:
        row["notes"] = list(work.notes)
    if work.items:
        row["images_per_second"] = work.items / ours
    return row


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, least and most of several runs, as they stand in a row."""
    return {
        "seconds": statistics.median(seconds),
        "seconds_least": min(seconds),
        "seconds_most": max(seconds),
        "runs": len(seconds),
    }


def in_a_process(module: str, order: Any, what: str, **environment: str) -> Any:
    """What a module of ``fgu_jax.bench``, run as a program, answers to an order.

    Args:
      module: reads JSON from its standard input, writes JSON as its last line.
      order: what JSON can write.
      what: who is at work, for the error.
      **environment: variables that are set for it.

    Raises:
      InputError: it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"fgu_jax.bench.{module}"],
        input=json.dumps(order),
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise InputError(f"{what} failed in a process of its own: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def weigh(work: Work, who: str) -> dict[str, float]:
    """Peak memory of one run in this process: in all, and over what it held before.

    On an accelerator the device's own peak, which counts from the process's start.
    """
    subject = work.run if who == OURS else work.rivals[who]
    if work.compiles:
        jax.block_until_ready(subject())
    stats = jax.devices()[0].memory_stats() if who == OURS else None
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is not held
    held = _resident("VmRSS")
    _forget_peak()
    jax.block_until_ready(subject())
    if stats and "peak_bytes_in_use" in stats:
        peak = jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20
        return {
            "peak_mib": peak,
            "peak_on_top_mib": peak - stats["bytes_in_use"] / 2**20,
        }
    peak = _resident("VmHWM")
    return {"peak_mib": peak, "peak_on_top_mib": max(0.0, peak - held)}


def _resident(name: str) -> float:
    said = machine.told("/proc/self/status", f"{name}:")
    if said:
        return int(said.split()[0]) / 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)


def _forget_peak() -> None:
    """Where the system allows it, the peak counts from here, not from the start."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
