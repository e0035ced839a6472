"""What the machine can still give."""

import os


def cores() -> int:
    """How many this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS, Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def told(path: str, start: str) -> str:
    """What follows ``start`` in the system's file; empty where nothing says it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            found = (line for line in lines if line.startswith(start))
            return next(found, "").removeprefix(start).strip()
    except OSError:
        return ""  # not Linux


def free_memory() -> float:
    """Bytes to be had without swapping; infinite where the system does not say."""
    available = told("/proc/meminfo", "MemAvailable:")
    if available:
        return 1024.0 * int(available.split()[0])
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            return float(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE"))
        except (AttributeError, OSError, ValueError):
            continue
    return float("inf")
