"""Minimum spanning forests: identical rows, Kruskal's algorithm and its leaf order.

The only Python loops of the merging run here, over candidate edges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_CHUNK_NUMBERS = 1 << 20


def rows_per_chunk(num_columns: int) -> int:
    """How many rows of 8-byte numbers a temporary of a few MiB holds."""
    return max(1, _CHUNK_NUMBERS // max(1, num_columns))


def first_identical(rows: np.ndarray) -> np.ndarray:
    """For each row the first row that equals it, ``-0.0`` being ``0.0``.

    A 64-bit hash proposes and a comparison decides. Two different rows of one hash
    may hide later copies of the second: the result is then still of equal rows, only
    not always the first.

    Args:
      rows: finite float ``[N, D]``, C-contiguous.

    Returns:
      int64 ``[N]``, ``first[i] <= i`` and ``rows[first[i]] == rows[i]``.

    >>> first_identical(np.array([[1.0, 0.0], [2.0, 2.0], [1.0, -0.0]])).tolist()
    [0, 1, 0]
    """
    num_rows, row_bytes = len(rows), rows.shape[1] * rows.itemsize
    word = np.uint64 if row_bytes % 8 == 0 else np.uint32
    num_words = row_bytes // word(0).nbytes
    odd = np.random.default_rng(0).integers(0, 1 << 63, num_words, np.uint64) * 2 + 1
    hashes = np.empty(num_rows, np.uint64)
    step = rows_per_chunk(num_words)
    for start in range(0, num_rows, step):
        chunk = rows[start : start + step] + rows.dtype.type(0)  # -0.0 becomes 0.0
        bits = chunk.view(word).astype(np.uint64, copy=False)
        bits ^= bits >> np.uint64(32)  # a product carries upwards only
        bits *= odd
        bits ^= bits >> np.uint64(29)
        hashes[start : start + step] = bits.sum(axis=1)
    _, index, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    first = index[inverse]
    copies = np.flatnonzero(first != np.arange(num_rows))
    for start in range(0, len(copies), step):
        copy = copies[start : start + step]
        same = np.all(rows[copy] == rows[first[copy]], axis=1)
        first[copy[~same]] = copy[~same]
    return first.astype(np.int64)


_CHUNK = 1 << 16


class Edges(NamedTuple):
    """Pairs of rows ``i < j`` and their squared distances; all arrays are ``[E]``."""

    squared: np.ndarray
    i: np.ndarray
    j: np.ndarray

    def take(self, positions: np.ndarray) -> Edges:
        return Edges(*(column[positions] for column in self))

    def ranked(self) -> Edges:
        """Sort by (squared distance, i, j), the order in which ties are settled."""
        return self.take(np.lexsort((self.j, self.i, self.squared)))


def join_edges(parts: list[Edges]) -> Edges:
    """One edge list out of several."""
    return Edges(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def kruskal(
    a: np.ndarray, b: np.ndarray, *, num_nodes: int, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take edges ``(a, b)`` in the order given unless they close a cycle.

    Args:
      a: integer ``[E]``, one end of each edge, in ``0..num_nodes-1``.
      b: integer ``[E]``, the other end.
      num_nodes: number of nodes.
      limit: stop after so many edges were taken.

    Returns:
      The positions of the edges taken, and for each node the smallest node of its
      component, both int64.

    >>> kept, smallest = kruskal(
    ...     np.array([0, 1, 0]), np.array([1, 2, 2]), num_nodes=4, limit=9
    ... )
    >>> kept.tolist(), smallest.tolist()
    ([0, 1], [0, 0, 0, 3])
    """
    parent = list(range(num_nodes))
    kept: list[int] = []
    for start in range(0, len(a), _CHUNK):
        if len(kept) >= limit:
            break
        # Python integers chunk by chunk: whole lists would outweigh the arrays.
        chunk = slice(start, start + _CHUNK)
        pairs = zip(a[chunk].tolist(), b[chunk].tolist(), strict=True)
        for position, (left, right) in enumerate(pairs, start):
            left, right = _root(parent, left), _root(parent, right)
            if left != right:
                if len(kept) >= limit:
                    break
                parent[max(left, right)] = min(left, right)
                kept.append(position)
    roots = np.asarray(parent, np.int64)
    while not np.array_equal(roots, roots[roots]):
        roots = roots[roots]
    return np.asarray(kept, np.int64), roots


def leaf_order(
    a: np.ndarray, b: np.ndarray, heights: np.ndarray, *, num_nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Order the nodes so that a path's largest edge is a maximum over neighbours.

    Each edge of the forest hangs the list of one component behind that of the other.
    With heights that ascend, the largest edge on the path between the nodes at places
    ``p < q`` of the order is ``max(gaps[p:q])`` (the single-linkage dendrogram).

    Args:
      a: integer ``[E]``, one end of each edge of a forest, heights ascending.
      b: integer ``[E]``, the other end.
      heights: float64 ``[E]``, ascending.
      num_nodes: number of nodes.

    Returns:
      ``order[num_nodes]`` int64 and ``gaps[num_nodes]`` float64, the gap behind each
      place; infinite where the next node belongs to another tree.

    >>> order, gaps = leaf_order(
    ...     np.array([2, 0]), np.array([0, 1]), np.array([1.0, 3.0]), num_nodes=4
    ... )
    >>> order.tolist(), gaps.tolist()
    ([2, 0, 1, 3], [1.0, 3.0, inf, inf])
    """
    parent = list(range(num_nodes))  # a root is the first node of its list
    last = list(range(num_nodes))
    following = [-1] * num_nodes
    gap_behind = [np.inf] * num_nodes
    for left, right, height in zip(
        a.tolist(), b.tolist(), heights.tolist(), strict=True
    ):
        left, right = _root(parent, left), _root(parent, right)
        following[last[left]] = right
        gap_behind[last[left]] = height
        last[left] = last[right]
        parent[right] = left
    order = []
    for head in range(num_nodes):
        if parent[head] == head:
            node = head
            while node >= 0:
                order.append(node)
                node = following[node]
    places = np.asarray(order, np.int64)
    return places, np.asarray(gap_behind, np.float64)[places]
