"""Rows of the very same features: one cluster, whatever their neighbours are.

Neighbours that are equally near go by row, so of more copies than are looked at each
meets the first ones alone, and the last ones have nothing in common.
"""

import numpy as np

from fgu_jax.clustering.answered import Joined
from fgu_jax.clustering.links import in_one, owner_of_groups, start


def copies(features: np.ndarray) -> np.ndarray:
    """Int64 [N]: a number for the rows of equal bits, -1 where a row is the only one.

    Args:
      features: float32 [N, D].

    >>> copies(np.array([[0, 1], [1, 0], [0, 1]], np.float32)).tolist()
    [0, -1, 0]
    """
    bits = np.ascontiguousarray(features).view(np.uint32)
    # Whole numbers have one sum in any order; few rows that differ have the same.
    _, place, count = np.unique(
        bits.sum(axis=1, dtype=np.uint64), return_inverse=True, return_counts=True
    )
    rows = np.flatnonzero(count[place] > 1)
    number = np.full(len(bits), -1, np.int64)
    if len(rows):
        whole = bits[rows].view(np.dtype((np.void, bits.strides[0]))).ravel()
        _, place, count = np.unique(whole, return_inverse=True, return_counts=True)
        number[rows] = np.where(count[place] > 1, place, -1)
    return number


def links_of_copies(
    number: np.ndarray,
    must: np.ndarray,
    cannot: np.ndarray,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Int64 [P, 2]: pairs of copies to be joined beside the must-links.

    Copies that cannot-links or known clusters keep apart, directly or by must-links,
    are left so; each other one is joined with the first of its copies that it may be.

    Args:
      number: int [N], of ``copies``.
      must, cannot: int [P, 2], rows.
      known: int [N], clusters that stay as they are, -1 for new images.

    Raises:
      InputError: links that contradict each other.

    >>> number, none = np.zeros(3, int), np.empty((0, 2), int)
    >>> links_of_copies(number, none, none).tolist()
    [[0, 1], [1, 2]]
    >>> links_of_copies(number, none, np.array([[0, 1]])).tolist()
    [[0, 2]]
    """
    if not (number >= 0).any():
        return np.empty((0, 2), np.int64)
    if not len(cannot) and known is None:
        return in_one(number)
    if known is not None:
        must = np.concatenate([must, in_one(known)])
    groups, apart = start(len(number), must, cannot)
    whole = Joined(int(groups.max()) + 1, apart, owner_of_groups(groups, known))
    first: dict[int, list[int]] = {}
    pairs = []
    for row in np.flatnonzero(number >= 0).tolist():
        others = first.setdefault(int(number[row]), [])
        mate = next((x for x in others if whole.join(groups[x], groups[row])), None)
        if mate is None:
            others.append(row)
        else:
            pairs.append((mate, row))
    return np.array(pairs, np.int64).reshape(-1, 2)
