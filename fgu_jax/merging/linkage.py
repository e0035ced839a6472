"""What Kruskal's algorithm cannot do: one pair at a time over a C x C matrix.

A merge changes the distances to the merged cluster by the formula of Lance and
Williams, and the closest pair is found from each row's nearest neighbour, so that a
merge costs O(C) unless many clusters share a neighbour. The matrix is float64 whatever
the size: a result that depended on the memory of the machine could not be repeated.
``centroid`` and ``median`` are kept squared, where their formula is linear.
"""

from __future__ import annotations

import numpy as np

from fgu_jax.merging.cluster_distances import cluster_distances
from fgu_jax.merging.neighbours import Progress

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
