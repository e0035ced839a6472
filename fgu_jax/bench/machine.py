"""What is measured on: cores, devices, versions, and how fast they can be at all."""

import dataclasses
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fgu_jax.parallel import machine

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "pillow")


@dataclasses.dataclass(frozen=True)
class Rates:
    """Measured in this run, on the default device.

    Attributes:
      product: operations a second of a large matrix product.
      copy: bytes read and written a second by a copy larger than any cache.
      precision: of the product.
      load: how many processes wanted a core before the run, in the mean of a minute;
        above 0 the machine was not ours alone.
    """

    product: float
    copy: float
    precision: str
    load: float = 0.0

    def floor(self, operations: float, moved: float) -> float:
        """Seconds below which the work cannot come: products, or memory, alone."""
        return max(operations / self.product, moved / self.copy)


def measure_rates(precision: str = "float32", *, small: bool = False) -> Rates:
    """Both rates, on the default device.

    Args:
      precision: ``float32`` (full, not TF32) or ``bfloat16``.
      small: tiny sizes, whose figures mean nothing.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    on_cpu = jax.default_backend() == "cpu"
    side = 128 if small else 2048 if on_cpu else 16384
    a = jnp.ones((side, side), precision) / side
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST))
    numbers = 1 << (16 if small else 26 if on_cpu else 30)
    held = [jnp.zeros(numbers, jnp.float32)]
    add = jax.jit(lambda b: b + 1, donate_argnums=0)

    def copy():  # in place: new memory would cost the system's handing it out
        held[0] = add(held[0])
        return held[0]

    return Rates(
        product=2 * side**3 / _best(lambda: product(a)),
        copy=8 * numbers / _best(copy),
        precision=precision,
        load=round(load, 1),
    )


def _best(work: Callable[[], jax.Array]) -> float:
    """Seconds of one run: the lower quartile of seven.

    The fastest may be a fluke of the clock; the median of a busy machine is too slow.
    """
    jax.block_until_ready(work())
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - start)
    return statistics.quantiles(seconds, n=4)[0]


def describe() -> dict[str, Any]:
    """Cores, CPU model, memory and devices; nothing that names the machine."""
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = round(pages / 2**30, 1)
    model = machine.told("/proc/cpuinfo", "model name").lstrip(" \t:")
    return {
        "cores": machine.cores(),
        "cpu": model or platform.processor() or platform.machine(),
        "memory_gib": memory,
        "devices": [device.device_kind for device in jax.devices()],
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter here, where installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
