"""Measuring: each piece of the work against the machine's floor and a plain rival.

A piece is a module of ``pieces``, its ``sizes`` are its command-line flags. It has
``works``, whose results are checked and only then timed, or gives its ``rows`` itself.
"""

import importlib
from types import ModuleType

PIECES = {
    "step": "the training step",
    "embed": "images to features",
    "merge": "exact merging, eq (5)",
    "evaluate": "CMC, mAP and mINP from features",
    "rerank": "k-reciprocal re-ranking",
    "cluster": "clusters, told nothing",
    "pedal": "PEDAL and the repelled loss over large tables",
    "memory": "updates of the tables V and W",
    "decode": "pictures from JPEG",
    "recipe": "an epoch of tuned, new clusters included",
    "epoch": "a whole epoch on drawn pedestrians",
    "scale": "the step on simulated devices: results, bytes sent",
}


def piece(name: str) -> ModuleType:
    """The module of a piece; importing it imports JAX."""
    return importlib.import_module(f"fgu_jax.bench.pieces.{name}")
