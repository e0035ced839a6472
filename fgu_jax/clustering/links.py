"""Pairs of images that must, or must not, end in one cluster."""

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError

Pairs = ArrayLike | Iterable[tuple[int, int]]


def by_first_row(labels: np.ndarray) -> np.ndarray:
    """Int32 [N], the same groups, dense and numbered by first appearance.

    >>> by_first_row(np.array([7, 2, 7, 0])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int32)
    number[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return number[inverse]


def joined(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Int32 [N]: the groups that the pairs (first, second) tie together.

    >>> joined(4, np.array([2]), np.array([0])).tolist()
    [0, 1, 0, 2]
    """
    ties = sp.coo_array((np.ones(len(first), bool), (first, second)), (count, count))
    return by_first_row(sp.csgraph.connected_components(ties, directed=False)[1])


def in_one(labels: np.ndarray) -> np.ndarray:
    """Int64 [P, 2]: each row of a cluster, and the next one of it; -1 is no cluster.

    >>> in_one(np.array([4, -1, 4, -1, 4])).tolist()
    [[0, 2], [2, 4]]
    """
    order = np.argsort(labels, kind="stable")
    same = labels[order[1:]] == labels[order[:-1]]
    same &= labels[order[1:]] >= 0
    return np.stack([order[:-1][same], order[1:][same]], axis=1).astype(np.int64)


def codes(pairs: np.ndarray, count: int) -> np.ndarray:
    """Int64 [Q]: pairs [P, 2] of 0..count-1 as numbers, either way round, once, rising.

    A number is low * count + high. Whoever names C individuals keeps apart C(C - 1)/2
    pairs, and so many numbers are sorted much faster than rows are.

    >>> codes(np.array([[2, 1], [0, 3], [1, 2]]), 4).tolist()
    [3, 6]
    """
    first, second = pairs.astype(np.int64).T
    code = np.minimum(first, second) * count + np.maximum(first, second)
    code.sort()
    return code[np.diff(code, prepend=-1) > 0]


def once(pairs: np.ndarray, count: int) -> np.ndarray:
    """Int64 [Q, 2]: pairs of 0..count-1, the lower first, each once, in order.

    >>> once(np.array([[2, 1], [0, 3], [1, 2]]), 4).tolist()
    [[0, 3], [1, 2]]
    """
    return np.stack(np.divmod(codes(pairs, count), max(count, 1)), axis=1)


def owner_of_groups(groups: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Int64 [C]: the known cluster of each group's rows, -1 where they are of none.

    Raises:
      InputError: a group that holds rows of two known clusters.

    >>> owner_of_groups(np.array([0, 1, 1, 2]), np.array([5, -1, 3, -1])).tolist()
    [5, 3, -1]
    """
    owner = np.full(int(groups.max(initial=-1)) + 1, -1, np.int64)
    if known is None:
        return owner
    rows = np.flatnonzero(known >= 0)
    owner[groups[rows]] = known[rows]
    wrong = rows[owner[groups[rows]] != known[rows]]
    if len(wrong):
        i = wrong[0]
        j = rows[(groups[rows] == groups[i]) & (known[rows] != known[i])][0]
        raise InputError(
            f"must_link joins rows {i} and {j}, which are of two known clusters: take "
            "the link back, or cluster without the known ones"
        )
    return owner


def as_pairs(pairs: Pairs, name: str, count: int) -> np.ndarray:
    """``pairs`` as int64 [P, 2] of rows 0..count-1.

    Raises:
      InputError: another shape, no integers, a row that is not there.

    >>> as_pairs([(0, 2)], "must_link", 3).tolist()
    [[0, 2]]
    """
    try:
        array = np.asarray(pairs if hasattr(pairs, "__array__") else list(pairs))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{name} holds no pairs: give rows (i, j)") from None
    if array.size == 0:
        return np.empty((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise InputError(
            f"{name} has shape {list(array.shape)} of {array.dtype}: give pairs of "
            "rows (i, j)"
        )
    out = array.astype(np.int64)
    wrong = out[(out < 0) | (out >= count)]
    if len(wrong):
        raise InputError(
            f"{name} names row {wrong[0]} of {count} images: give 0 to {count - 1}"
        )
    return out


def start(
    count: int, must_link: Pairs, cannot_link: Pairs
) -> tuple[np.ndarray, np.ndarray]:
    """The groups that the must-links make, and the pairs of groups kept apart.

    Args:
      count: N.
      must_link, cannot_link: pairs of rows.

    Returns:
      groups int32 [N], dense, numbered by first appearance; apart int64 [P, 2], pairs
      of groups, the lower number first.

    Raises:
      InputError: bad pairs; images that must and must not be together.

    >>> groups, apart = start(4, [(0, 3)], [(3, 1)])
    >>> groups.tolist(), apart.tolist()
    ([0, 1, 2, 0], [[0, 1]])
    """
    must = as_pairs(must_link, "must_link", count)
    cannot = as_pairs(cannot_link, "cannot_link", count)
    groups = joined(count, must[:, 0], must[:, 1])
    apart = groups[cannot].astype(np.int64)
    against = np.flatnonzero(apart[:, 0] == apart[:, 1])
    if len(against):
        i, j = cannot[against[0]]
        more = f" (and {len(against) - 1} more pairs)" if len(against) > 1 else ""
        why = "is one image" if i == j else "must_link joins, directly or by others"
        raise InputError(
            f"cannot_link keeps apart rows {i} and {j}{more}, which {why}: "
            "take one of the two links back"
        )
    return groups, np.sort(apart, axis=1)
