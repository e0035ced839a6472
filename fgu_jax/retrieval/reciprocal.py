"""k-reciprocal neighbours: images that have each other among their nearest."""

import numpy as np
from scipy import sparse

from fgu_jax.retrieval.distances import row_blocks, squared_distances

_MARKS = 1 << 22  # entries of a table of members, one byte each


def mutual(lists: np.ndarray) -> np.ndarray:
    """Bool [N, k]: whether ``lists[i, a]`` has i in its own list.

    >>> mutual(np.array([[0, 1], [1, 2], [2, 1]])).tolist()
    [[True, False], [True, True], [True, True]]
    """
    count, k = lists.shape
    out = np.empty((count, k), bool)
    for rows in row_blocks(count, k * k, _MARKS):
        own = np.arange(rows.start, rows.stop)[:, None, None]
        out[rows] = (lists[lists[rows]] == own).any(axis=2)
    return out


def encode(
    features: np.ndarray, lists: np.ndarray, k1: int, largest: np.ndarray
) -> sparse.csr_array:
    """V [N, N]: on the expanded k-reciprocal set of i, exp(-d(i, j)) over its sum.

    Args:
      features: float32 [N, D].
      lists: int64 [N, k1 + 1 or more], nearest first, each image the first of its own.
      k1: neighbours that count.
      largest: float64 [N], squared distances of row i are divided by it.
    """
    count = len(lists)
    # The authors' rounding, half to even; + 1 for the image itself, as below.
    half_lists = lists[:, : round(k1 / 2) + 1]
    lists = lists[:, : k1 + 1]
    friends, half_friends = mutual(lists), mutual(half_lists)
    sizes, columns, values = [], [], []
    for rows in row_blocks(count, count, _MARKS):
        near = lists[rows]
        local = np.arange(len(near))[:, None]
        member = np.zeros((len(near), count), bool)
        member[local, near] = friends[rows]
        theirs = half_lists[near]
        real = half_friends[near] & friends[rows][:, :, None]
        inside = member[local[:, :, None], theirs] & real
        # "More than 2/3" of the candidate's own set, in whole numbers.
        joins = 3 * inside.sum(axis=2) > 2 * real.sum(axis=2)
        i, a, b = np.nonzero(real & joins[:, :, None])
        member[i, theirs[i, a, b]] = True

        i, j = np.divmod(np.flatnonzero(member), count)
        size = np.bincount(i, minlength=len(near))
        squared = squared_distances(features, features, i + rows.start, j)
        weight = np.exp(-squared / largest[i + rows.start])
        weight /= np.bincount(i, weight, minlength=len(near))[i]
        sizes.append(size)
        columns.append(j.astype(np.int32))
        values.append(weight.astype(np.float32))
    ends = np.cumsum(np.concatenate([[0], *sizes]))
    entries = np.concatenate(values), np.concatenate(columns), ends
    return sparse.csr_array(entries, shape=(count, count))
