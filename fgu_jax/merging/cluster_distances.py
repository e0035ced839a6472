"""Distances between clusters as they stand: the matrix that linkage starts from."""

from __future__ import annotations

import os

import numpy as np

from fgu_jax.errors import InputError
from fgu_jax.merging.duplicates import first_identical, rows_per_chunk
from fgu_jax.merging.neighbours import Progress

_BLOCK = 1024
# Below this share of the norms, a squared distance from a product has lost too many
# digits, and is taken from differences instead.
_LOST = 1e-6


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            continue
    return None


def refuse_what_does_not_fit(
    num_clusters: int, criterion: str, memory_limit: int | None = None
) -> None:
    """Raises ``InputError`` where the C x C matrix is larger than the memory.

    Args:
      num_clusters: C.
      criterion: named in the error.
      memory_limit: bytes that the matrix may take; None: what is available.
    """
    limit = available_memory() if memory_limit is None else memory_limit
    needed = 8 * num_clusters**2
    if limit is not None and needed > limit:
        raise InputError(
            f"criterion {criterion!r} holds a C x C matrix, {needed / 2**30:.2f} GiB "
            f"for {num_clusters:,} clusters, and {limit / 2**30:.2f} GiB are there: "
            "use 'min' without a size penalty, which needs no matrix, or fewer clusters"
        )


class _Points:
    """Rows whose squared distances are asked for block against block, in float64."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.kind = first_identical(rows)
        centre = rows.mean(axis=0, dtype=np.float64)
        reach = np.abs(rows.max(axis=0) - centre).max()
        # A centre of few digits: coordinates that are small integers stay exact.
        quantum = 2.0 ** np.frexp(reach)[1]
        self.centre = np.round(centre / quantum) * quantum

    def squared(self, a: slice, b: slice) -> np.ndarray:
        """Squared distances ``[len(a), len(b)]``; exactly 0 for identical rows."""
        rows_a, rows_b = (self.rows[part] - self.centre for part in (a, b))
        norms_a, norms_b = (np.square(rows).sum(axis=1) for rows in (rows_a, rows_b))
        norms = norms_a[:, None] + norms_b
        squared = norms - 2 * (rows_a @ rows_b.T)
        lost = squared <= _LOST * norms
        if lost.any():
            same = self.kind[a][:, None] == self.kind[b]
            squared[same] = 0
            i, j = np.nonzero(lost & ~same)
            step = rows_per_chunk(self.rows.shape[1])
            for start in range(0, len(i), step):
                few = slice(start, start + step)
                difference = rows_a[i[few]] - rows_b[j[few]]
                squared[i[few], j[few]] = np.square(difference).sum(axis=1)
        return squared


def _by_cluster(
    combine: np.ufunc, block: np.ndarray, axis: int, labels: np.ndarray
) -> np.ndarray:
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    return combine.reduceat(block, starts, axis=axis)


def cluster_distances(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    criterion: str,
    memory_limit: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Distances between all pairs of clusters, infinite on the diagonal.

    Args:
      features: finite float32 ``[N, D]``.
      labels: int64 ``[N]``, dense.
      criterion: ``min``, ``max``, ``average``: the smallest, largest and mean plain
        Euclidean distance between members; ``centroid`` and ``median``: the squared
        distance between means.
      memory_limit: bytes that the matrix may take; None: what is available.
      progress: called with (block pairs done, their number, what).

    Returns:
      float64 ``[C, C]``, symmetric.

    Raises:
      InputError: if the matrix does not fit.

    >>> points = np.array([[0], [1], [5]], np.float32)
    >>> cluster_distances(points, np.array([0, 0, 1]), criterion="average")
    array([[inf, 4.5],
           [4.5, inf]])
    """
    sizes = np.bincount(labels)
    num_clusters = len(sizes)
    refuse_what_does_not_fit(num_clusters, criterion, memory_limit)
    order = np.argsort(labels, kind="stable")
    rows, row_labels = features[order], labels[order]
    means = criterion in ("centroid", "median")
    if means:
        starts = np.searchsorted(row_labels, np.arange(num_clusters))
        total = np.add.reduceat(rows, starts, axis=0, dtype=np.float64)
        rows, row_labels = total / sizes[:, None], np.arange(num_clusters)
    combine = {"min": np.minimum, "max": np.maximum}.get(criterion, np.add)

    points = _Points(rows)
    empty = np.inf if criterion == "min" else 0.0
    distances = np.full((num_clusters, num_clusters), empty)
    parts = [slice(s, min(s + _BLOCK, len(rows))) for s in range(0, len(rows), _BLOCK)]
    pairs = [(a, b) for n, a in enumerate(parts) for b in parts[n:]]
    for done, (a, b) in enumerate(pairs, 1):
        block = points.squared(a, b)
        if not means:
            block = np.sqrt(np.maximum(block, 0, out=block), out=block)
        block = _by_cluster(combine, block, 0, row_labels[a])
        block = _by_cluster(combine, block, 1, row_labels[b])
        # Rows are sorted by cluster, so that this completes the upper triangle.
        where = distances[
            row_labels[a.start] : row_labels[a.stop - 1] + 1,
            row_labels[b.start] : row_labels[b.stop - 1] + 1,
        ]
        combine(where, block, out=where)
        if progress:
            progress(done, len(pairs), "cluster distances")
    if criterion == "average":
        distances /= sizes[:, None]
        distances /= sizes
    for start in range(0, num_clusters, _BLOCK):
        part = slice(start, start + _BLOCK)
        rest = slice(start + _BLOCK, None)
        corner = np.triu(distances[part, part], 1)
        distances[part, part] = corner + corner.T
        distances[rest, part] = distances[part, rest].T
    np.fill_diagonal(distances, np.inf)
    return distances
