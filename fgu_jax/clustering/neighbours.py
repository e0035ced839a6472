"""The nearest images of each image, exact, the same on any hardware; ties by row.

A product in float32 says which images may be near, with an error that is bounded here;
those are put in order by distances in float64. So neither the size of the blocks, nor
the number of threads or devices, nor what multiplies decides anything.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.retrieval.distances import row_blocks, squared_distances

_SLACK = 16  # more than are asked for, so that an error of the product loses none
_DEVICE = 1 << 26  # entries of a block of products on a device
_HOST = 1 << 23  # and on the host
_THREADS = 4  # at most: each holds a block, and the product has threads of its own


def nearest_lists(features: np.ndarray, k: int) -> np.ndarray:
    """Int32 [N, k + 1]: each image, then its ``k`` nearest ones, nearest first.

    By Euclidean distance, of float32 ``features`` [N, D] of unit length or less; on
    JAX's first device where that is no CPU, otherwise on the host.

    >>> nearest_lists(np.array([[0.0], [1.0], [3.0]], np.float32), 1).tolist()
    [[0, 1], [1, 0], [2, 1]]
    """
    return on_host(features, k) if on_cpu() else on_device(features, k)


def on_cpu() -> bool:
    """Whether JAX has no accelerator here."""
    return jax.default_backend() == "cpu"


def on_host(features: np.ndarray, k: int) -> np.ndarray:
    """``nearest_lists`` by NumPy, a block of rows a thread."""
    count = len(features)
    nearest = _search(features, k)
    out = np.empty((count, k + 1), np.int32)

    def fill(rows: slice) -> None:
        out[rows] = nearest(np.arange(count)[rows])

    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(min(_THREADS, cores)) as threads:
        for _ in threads.map(fill, row_blocks(count, count, _HOST)):
            pass
    return out


def exact_rows(features: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Int32 [R, k + 1]: ``nearest_lists`` of some ``rows``, int [R]."""
    nearest = _search(features, k)
    step = max(1, _HOST // len(features))
    parts = [rows[low : low + step] for low in range(0, len(rows), step)]
    return np.concatenate([nearest(part) for part in parts]).astype(np.int32)


def _search(features: np.ndarray, k: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function of rows, int [B], ascending, that gives their lists."""
    count = len(features)
    moved, square, error = _moved(features)
    # ||y||^2 - 2 x.y in one product: the order of the distances from x.
    left = np.concatenate([-2 * moved, np.ones((count, 1), np.float32)], axis=1)
    right = np.concatenate([moved, square[:, None]], axis=1, dtype=np.float32).T

    def nearest(rows: np.ndarray) -> np.ndarray:
        block = left[rows] @ right
        within = _reach(block, k + 1) + 2 * error[rows]
        # Rounded up, so that nothing which float64 might yet prefer is lost.
        limit = np.nextafter(within.astype(np.float32), np.float32(np.inf))
        i, j = np.divmod(np.flatnonzero(block <= limit[:, None]), count)
        return _in_order(features, rows[i], j, k)

    return nearest


def on_device(features: np.ndarray, k: int) -> np.ndarray:
    """``nearest_lists`` by products and selection on JAX's first device."""
    count = len(features)
    wanted = min(count, k + 1 + _SLACK)
    moved, square, error = _moved(features)
    right = jax.device_put(moved)
    right_square = jax.device_put(square.astype(np.float32))
    every = np.arange(count)
    out = np.empty((count, k + 1), np.int32)
    for rows in row_blocks(count, count, _DEVICE):
        found = _smallest(right[rows], right, right_square, wanted)
        value, index = jax.device_get(found)
        here = every[rows]
        i = np.repeat(here, wanted)
        out[rows] = _in_order(features, i, index.ravel().astype(np.int64), k)
        # Where what was left out may be nearer than what was kept, all are looked at.
        unsure = value[:, -1] <= value[:, k] + 2 * error[rows]
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


def _moved(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features moved to their mean, which changes no distance and keeps them small;
    their squared lengths; and how far ||y||^2 - 2 x.y in float32 may be from the truth.
    """
    moved = np.empty_like(features)
    mean = features.mean(axis=0, dtype=np.float64)
    square = np.empty(len(features))
    for rows in row_blocks(*features.shape):
        moved[rows] = features[rows] - mean[None, :]
        part = moved[rows].astype(np.float64)
        np.einsum("nd,nd->n", part, part, out=square[rows])
    # Moving rounds once a number; then, in whatever order it is summed, a rounding a
    # term, of terms that are |x||y| and |y|^2 in all.
    reach = np.sqrt(square) + np.sqrt(square.max()) + 1
    return moved, square, 1.01 * (features.shape[1] + 10) * 2.0**-24 * reach**2


def _reach(block: np.ndarray, k: int) -> np.ndarray:
    """Float32 [B]: no less than the k-th smallest of each row, and mostly little more.

    The k-th smallest of the minima of groups is such a bound. Groups are strided:
    images of one identity often stand side by side, and would share a group.
    """
    width = block.shape[1]
    depth = max(1, width // max(512, 16 * k))
    groups = width // depth
    minima = block[:, : groups * depth].reshape(len(block), depth, groups).min(axis=1)
    return np.partition(minima, k - 1, axis=1)[:, k - 1]


def _in_order(features: np.ndarray, i: np.ndarray, j: np.ndarray, k: int) -> np.ndarray:
    """Int [B, k + 1]: the candidates j of each i by (itself, distance, row)."""
    distance = squared_distances(features, features, i, j)
    distance[i == j] = -1
    order = np.lexsort((j, distance, i))
    start = np.flatnonzero(np.diff(i, prepend=-1))
    return j[order[start[:, None] + np.arange(k + 1)[None, :]]]
