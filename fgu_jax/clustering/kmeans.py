"""k-means from k-means++, in blocks: exactly K clusters, none of them empty."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.clustering.means import cluster_centres
from fgu_jax.errors import InputError
from fgu_jax.progress import Progress

__all__ = ["kmeans", "reliable_samples"]

_BLOCK_NUMBERS = 1 << 23  # of a block of products


def kmeans(
    features: ArrayLike,
    num_clusters: int,
    *,
    seed: int = 0,
    iterations: int = 100,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Clusters of least squared distance to their means, by Lloyd's iterations.

    .. math:: \min_{y, c} \sum_i \lVert x_i - c_{y_i} \rVert_2^2

    Starts from k-means++: each next centre is an image, drawn with a chance in
    proportion to its squared distance to the centres so far. A cluster that runs empty
    takes the image that is farthest from its own centre.

    Args:
      features: float [N, D], finite.
      num_clusters: K, 1..N.
      seed: of the draws.
      iterations: the most that are made, 1 or more; fewer where no label changes.
      progress: called with (done, total, what).

    Returns:
      Labels int32 [N], dense in 0..K-1, numbered by first appearance; centres float32
      [K, D], the means of the clusters.

    Raises:
      InputError: another shape, K outside 1..N, values that are not finite.

    >>> labels, centres = kmeans([[0.0], [1.0], [10.0], [12.0]], 2)
    >>> labels.tolist(), centres.ravel().tolist()
    ([0, 0, 1, 1], [0.5, 11.0])

    Source: Lloyd, IEEE Trans. Inf. Theory 28, 1982; Arthur and Vassilvitskii, SODA
    2007.
    """
    x = _checked(features, "features")
    if not 1 <= num_clusters <= len(x):
        raise InputError(
            f"{num_clusters} clusters of {len(x)} images: give 1 to {len(x)}"
        )
    if iterations < 1:
        raise InputError(f"iterations is {iterations}: give 1 or more")
    # About their middle, so that products of far away points do not cancel.
    middle = x.mean(axis=0, dtype=np.float64).astype(np.float32)[None, :]
    x = x - middle
    centres = _first_centres(x, num_clusters, np.random.default_rng(seed), progress)
    labels = np.full(len(x), -1, np.int64)
    for iteration in range(iterations):
        found, squares = _nearest(x, centres)
        found = _without_empty(found, squares, num_clusters)
        if progress:
            progress(iteration + 1, iterations, "k-means")
        if np.array_equal(found, labels):
            break
        labels = found
        centres = cluster_centres(x, labels, rows=num_clusters)
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    number = np.empty(num_clusters, np.int32)
    order = np.argsort(first)
    number[order] = np.arange(num_clusters, dtype=np.int32)
    return number[labels], centres[order] + middle


def reliable_samples(
    features: ArrayLike, labels: ArrayLike, *, threshold: float = 0.85
) -> np.ndarray:
    r"""Images near enough to their cluster's centre to be learnt from (PUL).

    An image is reliable where the cosine of its feature and its cluster's mean,

    .. math:: \frac{x_i^T c_y}{\lVert x_i \rVert \lVert c_y \rVert} > \lambda ,

    or where it is the nearest of its cluster: no cluster is left without one.

    Args:
      features: float [N, D].
      labels: int [N], dense in 0..K-1.
      threshold: lambda, -1..1.

    Returns:
      bool [N].

    Raises:
      InputError: lengths that differ, labels that are not dense, lambda outside -1..1.

    >>> x = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]
    >>> reliable_samples(x, [0, 0, 0], threshold=0.9).tolist()
    [False, False, True]

    Source: Fan et al., Unsupervised Person Re-identification: Clustering and
    Fine-tuning, ACM TOMM 2018, eq (2).
    """
    x = _checked(features, "features")
    cluster = np.asarray(labels)
    if cluster.shape != x.shape[:1] or cluster.dtype.kind not in "iu":
        raise InputError(
            f"labels are {cluster.dtype}{list(cluster.shape)} and features "
            f"{list(x.shape)}: give an integer a row"
        )
    count = int(cluster.max()) + 1
    if cluster.min() < 0 or not np.bincount(cluster, minlength=count).all():
        raise InputError(f"labels up to {count - 1} are not dense: number them 0..K-1")
    if not -1 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}: give a cosine, -1 to 1")
    centres = cluster_centres(x, cluster, rows=count)
    length = np.linalg.norm(x, axis=1) * np.linalg.norm(centres, axis=1)[cluster]
    product = np.einsum("nd,nd->n", x, centres[cluster])
    cosine = product / np.maximum(length, np.finfo(np.float32).tiny)
    # The surest of each cluster comes first, the lowest row of equals.
    order = np.lexsort((np.arange(len(x)), -cosine, cluster))
    _, first = np.unique(cluster[order], return_index=True)
    reliable = cosine > threshold
    reliable[order[first]] = True
    return reliable


def _checked(values: ArrayLike, name: str) -> np.ndarray:
    x = np.asarray(values, np.float32)
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"{name} are {list(x.shape)}: give [N, D], one row an image")
    if not np.isfinite(x.sum(dtype=np.float64)):
        raise InputError(f"{name} hold values that are not finite: leave them out")
    return x


def _first_centres(
    x: np.ndarray, count: int, draw: np.random.Generator, progress: Progress | None
) -> np.ndarray:
    square = np.einsum("nd,nd->n", x, x)
    chosen = np.empty(count, np.int64)
    chosen[0] = draw.integers(len(x))
    nearest = np.full(len(x), np.inf, np.float32)
    for k in range(1, count):
        last = chosen[k - 1]
        distance = square + square[last] - 2 * (x @ x[last])
        nearest = np.minimum(nearest, np.maximum(distance, 0))
        nearest[chosen[:k]] = 0  # rounding may leave a chance to what was drawn
        weight = np.cumsum(nearest, dtype=np.float64)
        if weight[-1] > 0:
            place = np.searchsorted(weight, draw.random() * weight[-1], side="right")
            # The last row that has a chance, where rounding points past it.
            chosen[k] = min(place, np.searchsorted(weight, weight[-1]))
        else:  # the rest are copies of what was chosen
            chosen[k] = np.setdiff1d(np.arange(len(x)), chosen[:k])[0]
        if progress and k % 16 == 0:
            progress(k, count, "k-means++")
    return x[chosen]


def _nearest(x: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Int64 [N] nearest centre and float32 [N] squared distance to it."""
    block = max(1, min(len(x), _BLOCK_NUMBERS // len(centres)))
    on_device = jnp.asarray(centres)
    labels = np.empty(len(x), np.int64)
    squares = np.empty(len(x), np.float32)
    for start in range(0, len(x), block):
        # One shape only: the last block reaches back over rows already seen.
        start = max(0, min(start, len(x) - block))
        here = slice(start, start + block)
        labels[here], squares[here] = jax.device_get(
            _nearest_of_block(jnp.asarray(x[here]), on_device)
        )
    return labels, squares


@jax.jit
def _nearest_of_block(x: jax.Array, centres: jax.Array) -> tuple[jax.Array, jax.Array]:
    products = jnp.matmul(x, centres.T, precision=jax.lax.Precision.HIGHEST)
    square = jnp.sum(centres * centres, axis=1)[None, :] - 2 * products
    own = jnp.argmin(square, axis=1)
    least = jnp.min(square, axis=1) + jnp.sum(x * x, axis=1)
    return own, jnp.maximum(least, 0)


def _without_empty(labels: np.ndarray, squares: np.ndarray, count: int) -> np.ndarray:
    """Labels in which each empty cluster has taken the farthest image that may go."""
    size = np.bincount(labels, minlength=count)
    empty = np.flatnonzero(size == 0)
    if len(empty) == 0:
        return labels
    labels = labels.copy()
    farthest = iter(np.argsort(-squares, kind="stable"))
    for cluster in empty:
        row = next(row for row in farthest if size[labels[row]] > 1)
        size[labels[row]] -= 1
        labels[row], size[cluster] = cluster, 1
    return labels
