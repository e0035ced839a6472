"""Re-identification without labels: fused-grain feature learning (FGU) in JAX.

``fit`` trains, ``load`` opens what was trained; the mathematics lies in ``losses``,
``memory``, ``merging`` and ``retrieval``.
"""

import importlib
from typing import TYPE_CHECKING

from fgu_jax._version import __version__ as __version__

if TYPE_CHECKING:
    from fgu_jax.config import Config as Config
    from fgu_jax.embedder import Embedder as Embedder
    from fgu_jax.embedder import load as load
    from fgu_jax.errors import InputError as InputError
    from fgu_jax.loop import Run as Run
    from fgu_jax.loop import fit as fit

_LAZY = {
    "Config": "config",
    "Embedder": "embedder",
    "InputError": "errors",
    "Run": "loop",
    "fit": "loop",
    "load": "embedder",
}
_MODULES = ("losses", "memory", "merging", "retrieval", "networks", "data", "presets")
__all__ = ["__version__", *_LAZY, *_MODULES]


def __getattr__(name: str):
    # JAX, Flax and orbax take seconds to import: only what is asked for is loaded.
    if name in _LAZY:
        value = getattr(importlib.import_module(f"fgu_jax.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"fgu_jax.{name}")
    else:
        raise AttributeError(f"module 'fgu_jax' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
