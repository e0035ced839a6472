"""Nearest images of very many, approximate, by FAISS; its recall is measured."""

from typing import Any

import numpy as np

from fgu_jax.clustering.neighbours import exact_rows

FROM = 200_000
"""Images from which on a host without an accelerator looks at a part of the pairs."""
WANTED = 0.97  # recall; lists are looked through until it is there
_SAMPLE = 1000  # images whose exact neighbours say how many were found
_FIRST, _BLOCK = 16, 65_536


def installed() -> bool:
    """Whether FAISS is there (the extra ``large``)."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        return False
    return True


def approximate_lists(features: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """``neighbours.nearest_lists`` of nearly all, and which share of them it found.

    Images are put into 4 sqrt(N) lists by k-means (FAISS's IVF), and of each image the
    nearest 16 lists are looked through, or twice as many until ``WANTED`` of the exact
    neighbours of 1,000 images are found.

    Args:
      features: float32 [N, D], unit rows.
      k: neighbours.

    Returns:
      int32 [N, k + 1], each image first in its own; recall, 0..1, over the sample.

    Source: Johnson et al., Billion-scale similarity search with GPUs, 2019.
    """
    import faiss

    count, width = features.shape
    lists = max(1, round(4 * count**0.5))
    index: Any = faiss.index_factory(width, f"IVF{lists},Flat", faiss.METRIC_L2)
    index.cp.seed = 1
    index.train(features)
    index.add(features)
    sample = np.unique(np.linspace(0, count - 1, _SAMPLE).astype(np.int64))
    exact = exact_rows(features, sample, k)
    index.nprobe = min(_FIRST, lists)
    while True:
        recall = _recall(_searched(index, features, sample, k), exact)
        if recall >= WANTED or index.nprobe >= lists:
            break
        index.nprobe = min(2 * index.nprobe, lists)
    out = np.empty((count, k + 1), np.int32)
    for low in range(0, count, _BLOCK):
        rows = np.arange(low, min(low + _BLOCK, count))
        out[rows] = _searched(index, features, rows, k)
    return out, recall


def _searched(index: Any, features: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    near = index.search(features[rows], k + 1)[1]
    other = near != rows[:, None]
    other[other.all(axis=1), k] = False  # hidden by its copies: the last makes room
    lists = near[other].reshape(len(rows), k)
    short = np.flatnonzero((lists < 0).any(axis=1))  # where -1 stands for none
    found = np.concatenate([rows[:, None], lists], axis=1).astype(np.int32)
    if len(short):
        found[short] = exact_rows(features, rows[short], k)
    return found


def _recall(found: np.ndarray, exact: np.ndarray) -> float:
    pairs = zip(found[:, 1:], exact[:, 1:], strict=True)
    hits = sum(len(np.intersect1d(a, b)) for a, b in pairs)
    return hits / exact[:, 1:].size
