"""Re-identification without labels: fused-grain feature learning (FGU) in JAX.

``fit`` trains, ``load`` opens what was trained, ``pretrain`` makes a start with labels
of another dataset; the mathematics lies in ``losses``, ``memory``, ``merging`` and
``retrieval``.
"""

import importlib
from typing import TYPE_CHECKING

from fgu_jax._version import __version__ as __version__

if TYPE_CHECKING:
    from fgu_jax.config import Config as Config
    from fgu_jax.errors import InputError as InputError
    from fgu_jax.inference.embedder import Embedder as Embedder
    from fgu_jax.inference.embedder import load as load
    from fgu_jax.training.finish import Run as Run
    from fgu_jax.training.loop import fit as fit
    from fgu_jax.training.pretrain import pretrain as pretrain

_LAZY = {
    "Config": "config",
    "Embedder": "inference.embedder",
    "InputError": "errors",
    "Run": "training.finish",
    "fit": "training.loop",
    "load": "inference.embedder",
    "pretrain": "training.pretrain",
}
_MODULES = {
    name: name
    for name in (
        "clustering",
        "data",
        "losses",
        "memory",
        "merging",
        "networks",
        "retrieval",
    )
}
_MODULES["presets"] = "config.presets"
__all__ = ["__version__", *_LAZY, *_MODULES]


def __getattr__(name: str):
    # JAX, Flax and orbax take seconds to import: only what is asked for is loaded.
    if name in _LAZY:
        value = getattr(importlib.import_module(f"fgu_jax.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"fgu_jax.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'fgu_jax' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
