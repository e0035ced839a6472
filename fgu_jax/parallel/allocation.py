"""Memory that a CPU's steps use again, in place of asking the system for it each time.

XLA allocates a program's temporary memory at each call and frees it after: 436 MiB for
a gradient of EfficientNet-Lite0 at batch 32 and 128 x 64. glibc gives back what is so
large, and gets it again as pages that the kernel clears one by one: 110,000 page faults
a step, a third of its time. Told not to, it keeps the memory and the faults are gone.

What is kept lies in one heap. Where something small that stays is put into a piece that
was freed, the next step's piece no longer fits there, and the heap grows by another: so
what is free is given back between the parts of an epoch, wherever it lies; within one
after its first step, whose compilation leaves gigabytes, and where the process grows.
"""

import ctypes
import importlib.util
import os
import platform

from fgu_jax.parallel import machine

# mallopt's parameters, of malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_KEPT = 1 << 30  # bytes of free memory that the system does not get back
_BY_HAND = ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "LD_PRELOAD")
_GROWN = 1.3  # times what it had after a few steps
_FEW = 3  # steps, after which the memory of a step is there
_state = {"keeps": False}
_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "libtpu", "jax_rocm7_plugin")


def keep_freed_memory() -> bool:
    """Lets glibc keep the memory of a step for the next one, for this whole process.

    It is called before other threads allocate: the arenas that they have by then could
    hold no such piece. Nothing is done where malloc is another one or was set up by
    hand (``GLIBC_TUNABLES``, ``MALLOC_...``), or where JAX has an accelerator.

    Returns:
      Whether it was done.
    """
    if platform.libc_ver()[0] != "glibc" or any(map(os.environ.get, _BY_HAND)):
        return False
    if any(importlib.util.find_spec(name) for name in _PLUGINS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Pieces of any size come from the one heap, which alone can grow by them.
    wanted = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT))
    done = all(mallopt(parameter, value) == 1 for parameter, value in wanted)
    _state["keeps"] = done
    return done


def give_back() -> None:
    """Gives the system all memory that is free now, where it is kept."""
    if _state["keeps"]:
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """KiB of memory that the process has; 0 where the system does not say."""
    return int((machine.told("/proc/self/status", "VmRSS:") or "0").split()[0])


class Growth:
    """Looks between the steps of an epoch whether the process has grown.

    EfficientNet-Lite0 at batch 64 and 256 x 128 needs 8 GB a step beside the 5 GB of
    Market-1501's images; without a look it had 22 GB within the first minute.
    """

    def __init__(self) -> None:
        self._looks = 0
        self._usual = 0

    def look(self) -> None:
        """Gives back what is free after the first step, and where it grows too far."""
        if not _state["keeps"]:
            return
        now, self._looks = resident(), self._looks + 1
        if self._looks == 1:
            give_back()
        elif self._looks <= 1 + _FEW:
            self._usual = max(self._usual, now)
        elif now > _GROWN * self._usual:
            give_back()
            self._looks, self._usual = 1, 0  # what is usual is seen anew
