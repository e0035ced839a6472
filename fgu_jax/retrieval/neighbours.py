"""The k nearest gallery images of every query: exact, in blocks, ties by row."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.progress import Progress
from fgu_jax.retrieval.distances import Filter, row_blocks, squared_distances
from fgu_jax.retrieval.protocol import as_count, as_feature_pair


class Nearest(NamedTuple):
    """For each query its nearest gallery images, nearest first."""

    indices: np.ndarray  # int64 [Q, k]
    squared: np.ndarray  # float64 [Q, k]
    furthest: np.ndarray  # float64 [Q], squared distance to the furthest of all


def search(
    query: ArrayLike,
    gallery: ArrayLike,
    *,
    k: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest gallery images of each query, by Euclidean distance.

    Exact: the order is that of distances computed in float64 from the features in
    float32, and of gallery rows among equals, whatever the hardware.

    Args:
      query: float [Q, D], features.
      gallery: float [G, D], features.
      k: how many to return, 1..G.
      progress: called as ``progress(queries done, Q, "search")``.

    Returns:
      indices int64 [Q, k], gallery rows, nearest first; distances float32 [Q, k],
      not squared. The Q x G matrix is never held whole.

    Raises:
      InputError: NaN, a zero row, different widths, or a ``k`` outside 1..G.

    >>> gallery = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
    >>> indices, distances = search([[1.0, 0.0]], gallery, k=2)
    >>> indices.tolist(), distances.round(3).tolist()
    ([[0, 2]], [[0.0, 0.8939999938011169]])
    """
    first, second = as_feature_pair(query, gallery)
    k = as_count(k, "k", len(second), f"a gallery of {len(second)} images")
    found = nearest(Filter(first, second), k, progress=progress)
    return found.indices, np.sqrt(found.squared).astype(np.float32)


def nearest(
    pairs: Filter,
    k: int,
    *,
    self_first: bool = False,
    progress: Progress | None = None,
    what: str = "search",
) -> Nearest:
    """The ``k`` nearest of each row of ``pairs``, and the distance to the furthest.

    ``self_first``: queries are the gallery, and an image comes before its duplicates.
    """
    count = len(pairs)
    found = Nearest(
        np.empty((count, k), np.int64), np.empty((count, k)), np.empty(count)
    )
    for rows in row_blocks(count, pairs.width):
        block = pairs.block(rows)
        within = _reach(block, k) + 2 * pairs.error[rows]
        # Rounded up, so that nothing which float64 might yet prefer is lost.
        limit = np.nextafter(within.astype(np.float32), np.float32(np.inf))
        flat = np.flatnonzero(block <= limit[:, None])
        i, j = np.divmod(flat, pairs.width)
        size = np.bincount(i, minlength=len(block))
        i += rows.start
        exact = squared_distances(pairs.query, pairs.gallery, i, j)
        key = np.where(i == j, -1.0, exact) if self_first else exact
        order = np.lexsort((j, key, i))
        start = np.cumsum(size) - size
        chosen = order[start[:, None] + np.arange(k)[None, :]]
        found.indices[rows] = j[chosen]
        found.squared[rows] = exact[chosen]
        here = np.arange(rows.start, rows.stop)
        found.furthest[rows] = squared_distances(
            pairs.query, pairs.gallery, here, block.argmax(axis=1)
        )
        if progress is not None:
            progress(rows.stop, count, what)
    return found


def _reach(block: np.ndarray, k: int) -> np.ndarray:
    """Float32 [B]: no less than the k-th smallest of each row, and mostly little more.

    The k-th smallest of the minima of groups is such a bound, and a pass of minima
    costs a fraction of a selection over whole rows. Groups are strided: images of one
    identity often stand side by side, and would share a group.
    """
    width = block.shape[1]
    depth = max(1, width // max(512, 16 * k))
    groups = width // depth
    minima = block[:, : groups * depth].reshape(len(block), depth, groups).min(axis=1)
    return np.partition(minima, k - 1, axis=1)[:, k - 1]
