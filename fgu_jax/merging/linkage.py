"""Linkage over a C x C matrix of clusters: what Kruskal's algorithm cannot do.

A merge changes the distances to the merged cluster by the formula of Lance and
Williams, and the closest pair is found from each row's nearest neighbour, so that a
merge costs O(C) unless many clusters share a neighbour. The matrix is float64 whatever
the size: a result that depended on the memory of the machine could not be repeated.
``centroid`` and ``median`` are kept squared, where their formula is linear.
"""

from __future__ import annotations

import numpy as np

from fgu_jax.errors import InputError
from fgu_jax.merging.forest import first_identical, rows_per_chunk
from fgu_jax.parallel import machine
from fgu_jax.progress import Progress

_BLOCK = 1024
# Below this share of the norms, a squared distance from a product has lost too many
# digits, and is taken from differences instead.
_LOST = 1e-6


def refuse_what_does_not_fit(
    num_clusters: int, criterion: str, memory_limit: int | None = None
) -> None:
    """Raises ``InputError`` where the C x C matrix is larger than the memory.

    Args:
      num_clusters: C.
      criterion: named in the error.
      memory_limit: bytes that the matrix may take; None: what is available.
    """
    limit = machine.free_memory() if memory_limit is None else memory_limit
    needed = 8 * num_clusters**2
    if needed > limit:
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


SQUARED = ("centroid", "median")


def _distances_to_union(
    criterion: str,
    to_a: np.ndarray,
    to_b: np.ndarray,
    a_to_b: float,
    size_a: int,
    size_b: int,
    size_penalty: float,
) -> np.ndarray:
    """Lance and Williams: distances to a union from those to its two parts."""
    if criterion == "min":
        # The penalty of the other part's members, who are in the union too, is added.
        return np.minimum(to_a + size_penalty * size_b, to_b + size_penalty * size_a)
    if criterion == "max":
        return np.maximum(to_a, to_b)
    if criterion == "median":
        return np.maximum(0.5 * to_a + 0.5 * to_b - 0.25 * a_to_b, 0)
    share_a = size_a / (size_a + size_b)
    share_b = size_b / (size_a + size_b)
    mean = share_a * to_a + share_b * to_b
    if criterion == "average":
        return mean
    return np.maximum(mean - share_a * share_b * a_to_b, 0)


def merge_matrix(
    distances: np.ndarray,
    sizes: np.ndarray,
    num_merges: int,
    *,
    criterion: str,
    size_penalty: float = 0.0,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the closest pair ``num_merges`` times; a tie goes to the lowest numbers.

    Args:
      distances: float64 ``[C, C]``, symmetric, infinite on the diagonal; squared for
        ``centroid`` and ``median``; penalised for ``min``. Overwritten.
      sizes: integer ``[C]``, members of each cluster.
      num_merges: at most ``C - 1``.
      criterion: ``min``, ``max``, ``centroid``, ``average`` or ``median``.
      size_penalty: for ``min``, what each member of a pair adds to its distance.
      progress: called with (merges done, their number, what).

    Returns:
      For each cluster the lowest number of those merged with it, int64 ``[C]``; and the
      heights, float64 ``[num_merges]``, as the matrix has them.

    >>> apart = np.array([[np.inf, 1, 4], [1, np.inf, 2], [4, 2, np.inf]])
    >>> merge_matrix(apart, np.ones(3), 1, criterion="max")
    (array([0, 0, 2]), array([1.]))
    """
    num_clusters = len(distances)
    members = sizes.tolist()
    into = np.arange(num_clusters)
    heights = np.empty(num_merges)
    neighbour = distances.argmin(axis=1)
    nearest = distances[into, neighbour]
    for merge in range(num_merges):
        a = int(nearest.argmin())
        b = int(neighbour[a])  # a < b, as a is the first row with this distance
        height = float(nearest[a])
        union = _distances_to_union(
            criterion,
            distances[a],
            distances[b],
            height,
            members[a],
            members[b],
            size_penalty,
        )
        union[[a, b]] = np.inf
        members[a] += members[b]
        into[into == b] = a
        heights[merge] = height
        distances[a] = distances[:, a] = union
        distances[b] = distances[:, b] = np.inf
        nearest[b] = np.inf

        lost = (neighbour == a) | (neighbour == b)
        lost[[a, b]] = [True, False]
        lost &= np.isfinite(nearest)
        closer = (union < nearest) | ((union == nearest) & (a < neighbour))
        neighbour[closer] = a
        nearest[closer] = union[closer]
        again = np.flatnonzero(lost & ~closer)
        neighbour[again] = distances[again].argmin(axis=1)
        nearest[again] = distances[again, neighbour[again]]
        if progress and (merge % 64 == 63 or merge + 1 == num_merges):
            progress(merge + 1, num_merges, "merges")
    return into, heights


def merge_by_linkage(
    features: np.ndarray,
    labels: np.ndarray,
    num_merges: int,
    *,
    criterion: str,
    size_penalty: float = 0.0,
    memory_limit: int | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the closest pair of clusters ``num_merges`` times.

    Args:
      features: finite float32 ``[N, D]``.
      labels: int64 ``[N]``, dense, numbered by first appearance.
      num_merges: at most the number of clusters less 2.
      criterion: ``min``, ``max``, ``centroid``, ``average`` or ``median``.
      size_penalty: for ``min``, what each member of a pair adds to its distance.
      memory_limit: bytes that the matrix may take; None: what is available.
      progress: called with (done, total, what).

    Returns:
      New labels ``[N]``, not dense, and the heights of the merges in the order in which
      they were made, float64 ``[num_merges]``: plain Euclidean distances, and what the
      two clusters' sizes add to them by ``size_penalty``.

    Raises:
      InputError: if the matrix does not fit.
    """
    distances = cluster_distances(
        features,
        labels,
        criterion=criterion,
        memory_limit=memory_limit,
        progress=progress,
    )
    sizes = np.bincount(labels)
    if size_penalty:
        distances += size_penalty * sizes[:, None]
        distances += size_penalty * sizes
    into, heights = merge_matrix(
        distances,
        sizes,
        num_merges,
        criterion=criterion,
        size_penalty=size_penalty,
        progress=progress,
    )
    return into[labels], np.sqrt(heights) if criterion in SQUARED else heights
