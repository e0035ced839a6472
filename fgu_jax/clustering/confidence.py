"""How sure each image is of its cluster."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.clustering.means import sums_by_columns
from fgu_jax.errors import InputError

_ROWS = 1024  # images compared with all centres at once


def confidences(features: ArrayLike, clusters: ArrayLike) -> np.ndarray:
    """How much nearer each image is to its own cluster than to the next one.

    With a the Euclidean distance of an image to the mean of the *other* images of its
    cluster, and b the least distance to the mean of another cluster, its confidence is
    max(0, 1 - a / b). Without the image itself, a mean is not drawn towards it, so that
    small clusters look no surer than large ones; an image that is alone has nothing
    that speaks for its cluster, and gets 0.

    Args:
      features: float [N, D].
      clusters: int [N], dense in 0..C-1.

    Returns:
      NumPy float64 [N] in 0..1: 1 at its own centre, 0 where another is as near, where
      an image is alone in its cluster, or where there is one cluster only.

    Raises:
      InputError: lengths that differ, clusters that are not dense.

    >>> confidences([[0.0], [1.0], [5.0], [7.0], [90.0]], [0, 0, 1, 1, 2]).tolist()
    [0.8333333333333334, 0.8, 0.5555555555555556, 0.6923076923076923, 0.0]

    Source: the simplified silhouette (Hruschka et al., 2004), with the own centre
    taken without the image.
    """
    x = np.asarray(features)
    own = np.asarray(clusters)
    if x.ndim != 2 or own.shape != x.shape[:1] or own.dtype.kind not in "iu":
        raise InputError(
            f"clusters {own.dtype}{list(own.shape)} do not fit features "
            f"{list(x.shape)}: give integers [N] and [N, D]"
        )
    size = np.bincount(own) if len(own) else np.zeros(0, np.int64)
    if not size.all():
        raise InputError(
            f"clusters up to {own.max()} leave {np.count_nonzero(size == 0)} numbers "
            "out: number them 0..C-1"
        )
    found = np.zeros(len(x))
    judged = np.flatnonzero(size[own] > 1)
    if len(size) < 2 or len(judged) == 0:
        return found
    sums = np.empty((len(size), x.shape[1]))
    for columns, of_columns in sums_by_columns(x, own, size):
        sums[:, columns] = of_columns
    centres = sums / size[:, None]
    for start in range(0, len(judged), _ROWS):
        rows = judged[start : start + _ROWS]
        mine = own[rows]
        v = x[rows].astype(np.float64)
        others = (sums[mine] - v) / (size[mine] - 1)[:, None]
        nearest = _nearest_other(x[rows], centres, mine)
        a = np.linalg.norm(v - others, axis=1)
        b = np.linalg.norm(v - centres[nearest], axis=1)
        found[rows] = np.where(b > a, 1 - a / np.where(b > a, b, 1), 0)
    return found


def _nearest_other(rows: np.ndarray, centres: np.ndarray, own: np.ndarray):
    """Int [B]: the nearest centre of each row that is not its own."""
    # About their middle, so that nothing cancels; the distance itself is taken later,
    # in float64.
    middle = centres.mean(axis=0)[None, :]
    found = _nearest(
        jnp.asarray(rows - middle, jnp.float32),
        jnp.asarray(centres - middle, jnp.float32),
        jnp.asarray(own),
    )
    return np.asarray(found)


@jax.jit
def _nearest(rows: jax.Array, centres: jax.Array, own: jax.Array) -> jax.Array:
    products = jnp.matmul(rows, centres.T, precision=jax.lax.Precision.HIGHEST)
    square = jnp.sum(centres * centres, axis=1)[None, :] - 2 * products
    itself = jnp.arange(centres.shape[0])[None, :] == own[:, None]
    return jnp.argmin(jnp.where(itself, jnp.inf, square), axis=1)
