"""The k largest of many numbers, by the largest of their groups.

A CPU's top-k takes numbers one by one, on one core. The largest of each group of
neighbours takes a vector at a time, and the k largest of all lie in the k groups whose
largest are the largest. So it does for ties: where a number of a group left out equals
the k-th, so many groups before it hold one, too, that all k stand at lower places.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

GROUP = 16


def among_largest(values: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Few of many numbers, the k largest among them, in the order of their places.

    Args:
      values: float [..., R]; grouped where R is a multiple of a power of two, at
        best of ``GROUP``.
      k: at most R.

    Returns:
      Those numbers and their places 0..R-1, int32, both [..., K] with K >= k. Of
      numbers that equal the k-th largest those at the lowest places are among them.

    >>> among_largest(jnp.array([3.0, 1.0, 2.0]), 1)[0].tolist()  # nothing to group
    [3.0, 1.0, 2.0]
    """
    *rest, count = values.shape
    group = math.gcd(count, GROUP)
    if group == 1 or k * group >= count // 2:
        places = jnp.arange(count, dtype=jnp.int32)
        return values, jnp.broadcast_to(places, values.shape)
    # Or the numbers would be computed once more, one by one, for those taken.
    groups = lax.optimization_barrier(values).reshape(*rest, -1, group)
    best = jnp.sort(lax.top_k(jnp.max(groups, axis=-1), k)[1], axis=-1)
    best = best[..., None]
    taken = jnp.take_along_axis(groups, best, axis=-2)
    within = jnp.arange(group, dtype=best.dtype)
    places = best * group + jnp.broadcast_to(within, taken.shape)
    return taken.reshape(*rest, -1), places.reshape(*rest, -1)
