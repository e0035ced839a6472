"""The nearest images of each image, exact, the same on any hardware; ties by row."""

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.retrieval.distances import Filter, row_blocks, squared_distances
from fgu_jax.retrieval.neighbours import nearest

_SLACK = 16  # more than are asked for, so that an error of the product loses none
_ENTRIES = 1 << 26  # of a block of products on a device


def nearest_lists(features: np.ndarray, k: int) -> np.ndarray:
    """Int32 [N, k + 1]: each image, then its ``k`` nearest ones, nearest first.

    By Euclidean distance, in float64 from the float32 ``features`` [N, D]: whatever
    finds the candidates, a CPU or a device, they are put in order by the same numbers.

    >>> nearest_lists(np.array([[0.0], [1.0], [3.0]], np.float32), 1).tolist()
    [[0, 1], [1, 0], [2, 1]]
    """
    if jax.default_backend() == "cpu":
        found = nearest(Filter(features, features), k + 1, self_first=True)
        return found.indices.astype(np.int32)
    return on_device(features, k)


def on_device(features: np.ndarray, k: int) -> np.ndarray:
    """``nearest_lists`` by products and selection on JAX's first device."""
    count, width = features.shape
    wanted = min(count, k + 1 + _SLACK)
    # Moved to their mean, which changes no distance and keeps the numbers small.
    moved = features - features.mean(axis=0, dtype=np.float64)[None, :]
    moved = moved.astype(np.float32)
    square = np.einsum("nd,nd->n", moved, moved, dtype=np.float64)
    # In whatever order a product is summed: one rounding a term, of |x||y| in all.
    reach = np.sqrt(square) + np.sqrt(square.max())
    error = 1.01 * (width + 8) * 2.0**-24 * reach**2
    right = jax.device_put(moved)
    right_square = jax.device_put(square.astype(np.float32))
    out = np.empty((count, k + 1), np.int32)
    for rows in row_blocks(count, count, _ENTRIES):
        found = _smallest(right[rows], right, right_square, wanted)
        value, index = jax.device_get(found)
        here = np.arange(rows.start, rows.stop)
        i = np.repeat(here, wanted)
        out[rows] = _in_order(features, i, index.ravel().astype(np.int64), k)
        # Where what was left out may be nearer than what was kept, all are looked at.
        unsure = value[:, -1] <= value[:, k] + 4 * error[rows]
        every = np.arange(count)
        for row in here[unsure & (wanted < count)]:
            out[row] = _in_order(features, np.full(count, row), every, k)[0]
    return out


@jax.jit(static_argnums=3)
def _smallest(
    left: jax.Array, right: jax.Array, square: jax.Array, wanted: int
) -> tuple[jax.Array, jax.Array]:
    product = jnp.matmul(left, right.T, precision=jax.lax.Precision.HIGHEST)
    value, index = jax.lax.top_k(2 * product - square[None, :], wanted)
    return -value, index


def _in_order(features: np.ndarray, i: np.ndarray, j: np.ndarray, k: int) -> np.ndarray:
    """Int [B, k + 1]: the candidates j of each i by (itself, distance, row)."""
    distance = squared_distances(features, features, i, j)
    distance[i == j] = -1
    order = np.lexsort((j, distance, i))
    return j[order].reshape(len(np.unique(i)), -1)[:, : k + 1]
