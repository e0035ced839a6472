"""k-reciprocal encodings and what two images share of them, as sparse products.

Everything is put on a grid of 2^-24, whose multiples up to 1 are float32 and whose
sums are exact in float64: no result depends on the order in which it was added up.
"""

import numpy as np
import scipy.sparse as sp

_GRID = 2.0**24
FLOOR = 0.01
"""Similarities below it are left out: they are most of the entries, on features that
tell little nearly all, and two in one cluster share ten times as much."""
_WORK = 1 << 21  # pairs of entries that meet at once
_TABLE = 1 << 22  # sums that are held at once
_PAIRS = 1 << 20  # numbers gathered at once for distances


def mutual(lists: np.ndarray, k: int) -> sp.csr_array:
    """Float32 [N, N], symmetric: 1 where two are among each other's ``k`` nearest.

    ``lists`` is int [N, k + 1 or more], each image first in its own; it is in its set.

    >>> mutual(np.array([[0, 1], [1, 2], [2, 1]]), 1).toarray().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    near = listed(lists, k + 1)
    return near.multiply(near.T).tocsr()


def listed(lists: np.ndarray, width: int, dtype: type = np.float32) -> sp.csr_array:
    """[N, N]: 1 at the first ``width`` of each list, in the list's order."""
    count = len(lists)
    columns = lists[:, :width].ravel()
    start = np.arange(count + 1) * width
    return sp.csr_array((np.ones(len(columns), dtype), columns, start), (count, count))


def encode(features: np.ndarray, lists: np.ndarray, k1: int, k2: int) -> sp.csr_array:
    """Float64 [N, N]: V, each row summing to 1 (to the grid).

    R(i) are the images that have each other among the ``k1`` nearest, and those of
    each R'(j), j in R(i), of half as many, if more than 2/3 of R'(j) is in R(i).
    V_i is exp(-||x_i - x_j||^2) on R(i), over its sum; then the mean of it over the
    first ``k2`` of i's list, i itself the first.

    Args:
      features: float32 [N, D], unit rows.
      lists: int32 [N, max(k1 + 1, k2) or more], of ``nearest_lists``.
      k1, k2: as above.

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal
    Encoding, CVPR 2017, eqs (3)-(7), (11). Distances are not divided by the largest of
    a row, as their code does: of unit features they are within 0..4 as they are.
    """
    close = mutual(lists, k1)
    # The authors' rounding, half to even.
    half = mutual(lists, round(k1 / 2))
    inside = (close @ half).multiply(close).tocsr()
    size = np.diff(half.indptr)
    joins = 3 * inside.data > 2 * size[inside.indices]
    inside.data = joins.astype(np.float32)
    inside.eliminate_zeros()
    members = (close + inside @ half).tocsr()
    members.sort_indices()

    start, column = members.indptr, members.indices
    row = np.repeat(np.arange(len(lists)), np.diff(start))
    weight = np.empty(len(column))
    step = max(1, _PAIRS // features.shape[1])
    for low in range(0, len(column), step):
        part = slice(low, low + step)
        gap = features[row[part]]
        gap -= features[column[part]]
        weight[part] = np.einsum("pd,pd->p", gap, gap)
    np.exp(np.negative(weight, out=weight), out=weight)
    weight /= np.bincount(row, weight, minlength=len(lists))[row]
    encoding = sp.csr_array((_on_grid(weight), column, start), members.shape)
    if k2 > 1:
        encoding = listed(lists, k2, np.float64) @ encoding
        encoding.data = _on_grid(encoding.data / k2)
        encoding.sort_indices()
    return encoding


def shared_graph(encoding: sp.csr_array) -> sp.csr_array:
    """Float32 [N, N]: Jaccard similarities of the rows, symmetric, no diagonal.

    s(i, j) = shared / (2 - shared) with shared the sum over columns of min(V_i, V_j):
    the sum of the least over that of the greatest, as each row sums to 1. What is
    below ``FLOOR`` is left out.
    """
    count = encoding.shape[0]
    start, column = encoding.indptr.astype(np.int64), encoding.indices
    value = encoding.data.astype(np.float32)
    # Column by column, rows ascending; of each entry only the rows below it are met.
    order = np.argsort(column, kind="stable")
    row = np.repeat(np.arange(count, dtype=np.int32), np.diff(start))
    down_row, down_value = row[order], value[order]
    after = np.empty(len(order), np.int64)
    after[order] = np.arange(1, len(order) + 1)
    meets = np.cumsum(np.bincount(column, minlength=count))[column] - after
    total = np.concatenate([[0], np.cumsum(meets)])[start]
    least_shared = 2 * FLOOR / (1 + FLOOR)
    found = []
    low = 0
    while low < count:
        high = int(np.searchsorted(total, total[low] + _WORK, side="right")) - 1
        high = min(max(high, low + 1), low + max(1, _TABLE // count), count)
        part = slice(start[low], start[high])
        size = meets[part]
        stop = np.cumsum(size)
        place = np.arange(stop[-1] if len(stop) else 0)
        place += np.repeat(after[part] - (stop - size), size)
        cell = np.repeat((row[part] - low) * np.int64(count), size) + down_row[place]
        least = np.minimum(np.repeat(value[part], size), down_value[place])
        sums = np.bincount(cell, least, minlength=1)
        here = np.flatnonzero(sums >= least_shared)
        shared = np.minimum(sums[here], 1)
        i, j = np.divmod(here, count)
        similarity = _on_grid(shared / (2 - shared)).astype(np.float32)
        found.append(((i + low).astype(np.int32), j.astype(np.int32), similarity))
        low = high
    i, j, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    upper = sp.csr_array((similarity, (i, j)), (count, count))
    return (upper + upper.T).tocsr()


def _on_grid(values: np.ndarray) -> np.ndarray:
    return np.rint(values * _GRID) / _GRID
