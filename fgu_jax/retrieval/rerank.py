"""Re-ranking by k-reciprocal neighbours, sparse.

An image is described by a vector V over all images, zero but on its k-reciprocal
neighbours: a few dozen numbers. Only these are held, the N lists of nearest images
that they come from, and the Q x G distances that are the result.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from fgu_jax.errors import InputError
from fgu_jax.progress import Progress
from fgu_jax.retrieval.distances import Filter
from fgu_jax.retrieval.neighbours import nearest
from fgu_jax.retrieval.protocol import as_count, as_feature_pair
from fgu_jax.retrieval.reciprocal import encode

_WORK = 1 << 21  # entries of anything that is built on the way


def rerank(
    query: ArrayLike,
    gallery: ArrayLike,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    progress: Progress | None = None,
) -> np.ndarray:
    """Distances of k-reciprocal encoding: Jaccard's, mixed with the original ones.

    Over all N = Q + G images, with d(i, j) the squared Euclidean distance divided by
    the largest of row i:

    1. R(i) are the images among the ``k1`` nearest of i that have i among theirs; each
       j of R(i) adds its own R(j) of ``k1 / 2``, if more than 2/3 of that is in R(i).
    2. V_i = exp(-d(i, .)) on that set, divided by its sum; then the mean of V over the
       ``k2`` nearest of i, itself the first of them.
    3. d_J(i, j) = 1 - sum min(V_i, V_j) / sum max(V_i, V_j); the result is
       (1 - lambda) d_J + lambda d.

    The distances that go in are plain Euclidean ones and are squared here, as by the
    authors; code that hands over squared ones squares them twice. An image comes
    first in its own list, before its duplicates; other ties go by row, queries first.

    Args:
      query: float [Q, D], features.
      gallery: float [G, D], features.
      k1: how many nearest must be mutual, 1..N-1.
      k2: how many nearest are averaged, 1..N.
      lambda_value: share of the original distance, 0..1.
      progress: called as ``progress(done, total, "neighbours" or "re-ranking")``.

    Returns:
      float32 [Q, G], 0..1, smaller is nearer; ``evaluate`` takes it as ``distances``.

    Raises:
      InputError: NaN, a zero row, different widths; ``k1``, ``k2`` or
        ``lambda_value`` outside their range.

    >>> gallery = [[1.0, 0.0], [0.0, 1.0]]
    >>> rerank([[1.0, 0.0]], gallery, k1=1, k2=1).tolist()
    [[0.0, 1.0]]

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal
    Encoding, CVPR 2017, eqs (3)-(12); normalisation and rounding as in their code.
    """
    first, second = as_feature_pair(query, gallery)
    queries, count = len(first), len(first) + len(second)
    k1 = as_count(k1, "k1", count - 1, f"{count} images in all")
    k2 = as_count(k2, "k2", count, f"{count} images in all")
    if not 0 <= lambda_value <= 1:
        raise InputError(f"lambda_value={lambda_value}: give 0..1")
    features = np.concatenate([first, second])
    pairs = Filter(features, features)
    lists, _, furthest = nearest(
        pairs,
        max(k1 + 1, k2),
        self_first=True,
        progress=progress,
        what="neighbours",
    )
    # Where all images are one and the same, every distance is 0 whatever divides it.
    largest = np.where(furthest > 0, furthest, 1.0)
    encoding = encode(features, lists, k1, largest)
    if k2 > 1:
        encoding = _mean_of(encoding, lists[:, :k2])

    out = np.empty((queries, len(second)), np.float32)
    having = encoding[queries:].T.tocsr()  # who of the gallery has a column
    for rows in _query_blocks(encoding, having, out.shape):
        shared = _shared(encoding, having, rows, len(second))
        jaccard = 1 - shared / (2 - shared)  # as V_i and V_j both sum to 1
        original = pairs.relative(rows, largest[rows], slice(queries, None))
        out[rows] = (1 - lambda_value) * jaccard + lambda_value * original
        if progress is not None:
            progress(rows.stop, queries, "re-ranking")
    return out


def _mean_of(rows: sparse.csr_array, lists: np.ndarray) -> sparse.csr_array:
    """Row i becomes the mean of the rows ``lists[i]``, summed in float64."""
    count, k = lists.shape
    chosen = (np.ones(lists.size), lists.ravel(), np.arange(count + 1) * k)
    mean = sparse.csr_array(chosen, shape=rows.shape) @ rows.astype(np.float64)
    mean.sort_indices()
    mean.data /= k
    return mean.astype(np.float32)


def _query_blocks(
    encoding: sparse.csr_array, having: sparse.csr_array, shape: tuple[int, ...]
) -> Iterator[slice]:
    """Blocks of queries that share about as many entries with the gallery."""
    queries, width = shape
    size = np.diff(encoding.indptr[: queries + 1])
    meets = np.diff(having.indptr)[encoding.indices[: size.sum()]]
    cost = np.bincount(np.repeat(np.arange(queries), size), meets, minlength=queries)
    return _blocks_of(cost, _WORK, max(1, _WORK // width))


def _shared(
    encoding: sparse.csr_array, having: sparse.csr_array, rows: slice, width: int
) -> np.ndarray:
    """Float64 [B, G]: sum over columns of min(V_i, V_j), for queries ``rows``."""
    mine = encoding[rows]
    size = np.diff(mine.indptr)
    meets = np.diff(having.indptr)[mine.indices]
    theirs = _ragged(having.indptr[mine.indices], meets)
    local = np.repeat(np.arange(len(size)), size)
    place = np.repeat(local * width, meets) + having.indices[theirs]
    least = np.minimum(np.repeat(mine.data, meets), having.data[theirs])
    sums = np.bincount(place, least, minlength=len(size) * width)
    return np.minimum(sums, 1).reshape(len(size), width)


def _ragged(start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """``start[0] .. start[0] + size[0] - 1``, then the same of 1, 2, ..., int64.

    >>> _ragged(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist()
    [5, 6, 9, 10, 11]
    """
    stop = np.cumsum(size, dtype=np.int64)
    total = int(stop[-1]) if len(stop) else 0
    return np.arange(total) + np.repeat(start - (stop - size), size)


def _blocks_of(cost: np.ndarray, budget: int, most: int) -> Iterator[slice]:
    """Consecutive rows of at most ``budget`` together, and ``most`` in number.

    >>> [(b.start, b.stop) for b in _blocks_of(np.array([3, 3, 9, 1, 1]), 6, 9)]
    [(0, 2), (2, 3), (3, 5)]
    """
    total = np.cumsum(cost)
    start = 0
    while start < len(cost):
        spent = total[start - 1] if start else 0
        stop = int(np.searchsorted(total, spent + budget, side="right"))
        stop = min(max(stop, start + 1), start + most, len(cost))
        yield slice(start, stop)
        start = stop
