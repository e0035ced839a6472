"""Answers that speak for clusters: a yes joins all that looks like its two images."""

import numpy as np

from fgu_jax.clustering.links import joined, once


def kept_apart(groups: np.ndarray, apart: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Int64 [P, 2]: each of ``rows`` of a group with each of the groups apart from it.

    Args:
      groups: int [N], what must-links make one.
      apart: int [Q, 2], groups that cannot-links keep apart.
      rows: int [R], those that any link names.

    >>> kept_apart(np.array([0, 0, 1]), np.array([[0, 1]]), np.arange(3)).tolist()
    [[0, 2], [1, 2]]
    """
    order = rows[np.argsort(groups[rows], kind="stable")]
    size = np.bincount(groups[rows], minlength=int(groups.max(initial=0)) + 1)
    begin = np.cumsum(size) - size
    first, second = once(apart, len(size)).T
    many = size[first] * size[second]
    at = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    width = np.repeat(size[second], many)
    i = order[np.repeat(begin[first], many) + at // width]
    j = order[np.repeat(begin[second], many) + at % width]
    return np.stack([i, j], axis=1).astype(np.int64)


def with_their_clusters(
    labels: np.ndarray, must: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """Must-links that join whole clusters, in place of two of their images.

    Where a cannot-link keeps images of two clusters apart, a must-link between them
    holds for its own images alone, and for those that others tie to them.

    Args:
      labels: int [N], clusters made under ``apart``, without must-links.
      must: int [P, 2], rows.
      apart: int [Q, 2], rows, of ``kept_apart``.

    Returns:
      Int64 [R, 2], ``must`` among them; no cannot-link is against them.

    >>> labels, must = np.array([0, 0, 1, 1]), np.array([[0, 2]])
    >>> with_their_clusters(labels, must, np.empty((0, 2), int)).tolist()
    [[0, 2], [0, 1], [0, 2], [0, 3]]
    >>> with_their_clusters(labels, must, np.array([[1, 3]])).tolist()
    [[0, 2]]
    """
    whole = Joined(int(labels.max(initial=-1)) + 1, labels[apart])
    alone = np.array([not whole.join(*labels[pair]) for pair in must], bool)
    tied = joined(len(labels), must[:, 0], must[:, 1])
    left_out = np.isin(tied, tied[must[alone, 0]])
    grown = whole.of()[labels]
    grown[left_out] = -1
    changed = np.isin(grown, grown[must[~alone, 0]]) & ~left_out
    rows = np.flatnonzero(changed)
    rows = rows[np.argsort(grown[rows], kind="stable")]
    begins = np.diff(grown[rows], prepend=-1) != 0
    anchor = rows[begins][np.cumsum(begins) - 1]
    links = np.stack([anchor, rows], axis=1)[~begins]
    return np.concatenate([must, links])


class Joined:
    """Clusters that are joined one after the other, unless they are kept apart.

    Args:
      count: C.
      apart: int [P, 2], clusters that are kept apart.
      owner: int [C], who has each cluster, -1 for nobody: those of two are kept apart.
    """

    def __init__(self, count: int, apart: np.ndarray, owner: np.ndarray | None = None):
        self._root = list(range(count))
        self._owner = [-1] * count if owner is None else owner.tolist()
        self._apart: list[set[int]] = [set() for _ in range(count)]
        for a, b in once(apart, count).tolist():
            self._apart[a].add(b)
            self._apart[b].add(a)

    def join(self, a: int, b: int) -> bool:
        """Joins two, or says that they are kept apart."""
        a, b = self._find(a), self._find(b)
        if a == b:
            return True
        owners = {self._owner[a], self._owner[b]} - {-1}
        if len(owners) > 1 or any(self._find(other) == b for other in self._apart[a]):
            return False
        self._root[b] = a
        self._owner[a] = max(self._owner[a], self._owner[b])
        self._apart[a] |= self._apart[b]
        return True

    def of(self) -> np.ndarray:
        """Int [C]: what each cluster is part of."""
        return np.array([self._find(c) for c in range(len(self._root))], np.int64)

    def _find(self, cluster: int) -> int:
        while self._root[cluster] != cluster:
            self._root[cluster] = self._root[self._root[cluster]]
            cluster = self._root[cluster]
        return cluster
