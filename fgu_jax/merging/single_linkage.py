"""The minimum criterion, exactly, in memory that grows with N alone.

Merging the closest pair of clusters n times with D(A, B) = min |a - b| is Kruskal's
algorithm, started from the clusters as they stand and stopped after n edges. The edges
are ordered by (squared distance in float64 of the float32 features, i, j).

1. Identical rows are edges of length zero, found by hashing; after them one row of
   each kind is enough.
2. One blocked pass finds for every row a near row of another cluster. Kruskal over
   these N edges gives a forest; where it has fewer than n edges, its components are the
   clusters of another pass (a round of Boruvka's algorithm). No edge of the answer is
   longer than the n-th edge of this forest, nor than the forest's path between its
   ends.
3. A second pass, over the rows whose nearest row is within that length, collects the
   pairs that pass both tests, and Kruskal over these alone is the answer. It is kept
   small as it goes: what is not among the first n edges so far never will be.

Pairs that differ by less than float32 products can tell, without being equal, are all
compared in float64: memory stays bounded, time grows with their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import jax
import numpy as np

from fgu_jax.merging.blocks import BlockFinder
from fgu_jax.merging.bounds import UNDERFLOW, Frame
from fgu_jax.merging.forest import (
    Edges,
    first_identical,
    join_edges,
    kruskal,
    leaf_order,
    rows_per_chunk,
)
from fgu_jax.merging.limits import Pairs
from fgu_jax.merging.ring_candidates import RingFinder
from fgu_jax.progress import Progress

_MOST_PENDING = 1 << 18
# Of the longest edge: where bfloat16 may be off by more, too many pairs would pass.
_MOST_REACH = 1 / 16


class Finder(Protocol):
    """Both passes over some rows of features, in the frame.

    Attributes:
      reach: how far a distance that was computed may lie above the true one, beyond
        the bounds of its products.
    """

    reach: float

    def nearest(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each row a lower bound of its squared distance to any other cluster's,
        and the place of a row that is about so near."""

    def candidates(self, chosen: np.ndarray, gaps: np.ndarray) -> Iterator[Pairs]:
        """Every pair within its limit, see ``candidate_pairs``, and few others."""

    def release(self) -> None:
        """Frees the rows of the first pass, before the second places those it needs."""


def squared_distances(features: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Squared distances of rows ``i`` and ``j``, by differences in float64: ``[E]``."""
    squared = np.empty(len(i))
    step = rows_per_chunk(features.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        difference = features[i[part]].astype(np.float64)
        difference -= features[j[part]]
        np.square(difference, out=difference)
        squared[part] = difference.sum(axis=1)
    return squared


def _first_edges(
    edges: Edges, labels: np.ndarray, num_clusters: int, limit: int
) -> tuple[Edges, np.ndarray]:
    """Kruskal over ranked edges: those taken, and each cluster's component."""
    kept, roots = kruskal(
        labels[edges.i], labels[edges.j], num_nodes=num_clusters, limit=limit
    )
    return edges.take(kept), roots


def _fair_forest(
    finder: Finder, labels: np.ndarray, num_clusters: int, num_merges: int
) -> tuple[Edges, np.ndarray]:
    """A forest of ``num_merges`` short edges, and how near another cluster is.

    The lengths are lower bounds in the frame; so is the second result, ``[N]``.
    """
    places = np.arange(len(labels))
    components = labels
    nearest = None
    known: list[Edges] = []
    while True:
        bounds, neighbours = finder.nearest(components)
        nearest = bounds if nearest is None else nearest
        i, j = np.minimum(places, neighbours), np.maximum(places, neighbours)
        known.append(Edges(bounds, i, j))
        forest, roots = _first_edges(
            join_edges(known).ranked(), labels, num_clusters, num_merges
        )
        if len(forest.i) == num_merges:
            return forest, nearest
        known = [forest]
        components = roots[labels]


def _gaps_between_rows(
    forest: Edges, labels: np.ndarray, num_clusters: int, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the leaf order of a forest, and the squared gaps between them.

    No pair longer than the forest's last edge is of use, even between two trees.
    """
    order, gaps = leaf_order(
        labels[forest.i], labels[forest.j], forest.squared, num_nodes=num_clusters
    )
    gaps = np.minimum(gaps, forest.squared[-1])
    place = np.empty(num_clusters, np.int64)
    place[order] = np.arange(num_clusters)
    places = place[labels[rows]]
    sequence = np.argsort(places, kind="stable")
    places = places[sequence]
    # The running maximum over clusters without a row is a maximum by segments.
    between = np.maximum.reduceat(gaps, places)[:-1]
    between[places[1:] == places[:-1]] = -np.inf
    return rows[sequence], between


def _merge_distinct(
    features: np.ndarray,
    rows: np.ndarray,
    row_labels: np.ndarray,
    num_clusters: int,
    num_merges: int,
    devices: Sequence[jax.Device],
    progress: Progress | None,
) -> Edges:
    """The first ``num_merges`` edges between the rows given, no two of them equal."""
    frame = Frame.around(features)
    # A float64 sum of D squares is off by less than D + 2 units.
    slack = 1 + (features.shape[1] + 8) * 2.0**-52
    to_frame = float(frame.scale) ** 2 * slack

    def fair() -> tuple[Edges, np.ndarray]:
        found, nearest = _fair_forest(finder, row_labels, num_clusters, num_merges)
        i, j = rows[found.i], rows[found.j]
        return Edges(squared_distances(features, i, j), i, j).ranked(), nearest

    finder: Finder
    if devices:
        finder = RingFinder(features, rows, frame, devices, progress)
        forest, nearest = fair()
        if finder.reach > _MOST_REACH * np.sqrt(forest.squared[-1] * to_frame):
            finder.in_float32()
            forest, nearest = fair()
    else:
        finder = BlockFinder(features, rows, frame, progress)
        forest, nearest = fair()
    finder.release()
    labels = np.zeros(len(features), np.int64)
    labels[rows] = row_labels
    longest = forest.squared[-1] * to_frame + UNDERFLOW
    active = rows[nearest <= longest]
    chosen, gaps = _gaps_between_rows(forest, labels, num_clusters, active)
    pending: list[Edges] = []
    num_pending = 0

    def settle() -> Edges:
        edges = join_edges([forest, *pending]).ranked()
        return _first_edges(edges, labels, num_clusters, num_merges)[0]

    for i, j in finder.candidates(chosen, gaps * to_frame + UNDERFLOW):
        for start in range(0, len(i), _MOST_PENDING):
            part = slice(start, start + _MOST_PENDING)
            squared = squared_distances(features, i[part], j[part])
            useful = squared <= forest.squared[-1]
            pending.append(Edges(squared, i[part], j[part]).take(useful))
            num_pending += int(np.count_nonzero(useful))
            if num_pending > max(_MOST_PENDING, num_merges):
                forest, pending, num_pending = settle(), [], 0
    return settle()


def merge_by_minimum(
    features: np.ndarray,
    labels: np.ndarray,
    num_merges: int,
    progress: Progress | None = None,
    devices: Sequence[jax.Device] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the closest pair of clusters ``num_merges`` times, eq (5).

    Args:
      features: finite float32 ``[N, D]``.
      labels: int64 ``[N]``, dense.
      num_merges: at most the number of clusters less 2.
      progress: called with (block pairs done, their number, what) in each pass.
      devices: that share the passes; none: block by block on the default device.

    Returns:
      New labels ``[N]``, of as many values as clusters are left but not dense, and the
      plain Euclidean distances of the merges, ascending, float64 ``[num_merges]``.
    """
    num_clusters = int(labels.max()) + 1
    first = first_identical(features)
    copies = np.flatnonzero(first != np.arange(len(labels)))
    # Of the edges among equal rows those to the first one come first; the others close
    # cycles. They are ranked like all edges.
    equal = Edges(np.zeros(len(copies)), first[copies], copies).ranked()
    taken, roots = _first_edges(equal, labels, num_clusters, num_merges)
    labels = roots[labels]
    missing = num_merges - len(taken.i)
    if missing == 0:
        return labels, np.sqrt(taken.squared)

    rows = np.flatnonzero(first == np.arange(len(labels)))
    _, row_labels = np.unique(labels[rows], return_inverse=True)
    num_clusters -= len(taken.i)
    found = _merge_distinct(
        features, rows, row_labels, num_clusters, missing, devices, progress
    )
    _, dense = np.unique(labels, return_inverse=True)
    _, roots = _first_edges(found, dense, num_clusters, missing)
    return roots[dense], np.sqrt(np.concatenate([taken.squared, found.squared]))
