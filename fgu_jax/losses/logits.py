"""Logits of the repelled loss and exponents of PEDAL, of a block of table rows.

Products ask for ``Precision.HIGHEST``: float32 would otherwise be TF32 on NVIDIA and
bfloat16 on TPU. Tables are constants: no gradient flows into them.
"""

import jax
import jax.numpy as jnp
from jax import lax


def repelled_logits(
    features: jax.Array,
    table: jax.Array,
    *,
    temperature: float | jax.Array,
    num_clusters: int | jax.Array | None,
    first_row: int | jax.Array = 0,
) -> jax.Array:
    """Logits ``V_j^T v / tau`` of eq (1) over the rows ``first_row + 0..R-1`` of V.

    Args:
      features: float [B, D].
      table: float [R, D], a block of V.
      temperature: tau.
      num_clusters: C of the whole V; ``None``: every row of the block is alive.
      first_row: row of V at which the block begins.

    Returns:
      [B, R]; -inf where a row is dead.
    """
    product = jnp.matmul(
        features, lax.stop_gradient(table).T, precision=lax.Precision.HIGHEST
    )
    logits = product / temperature
    if num_clusters is None:
        return logits
    alive = rows_of(table, first_row) < num_clusters
    return jnp.where(alive[None, :], logits, -jnp.inf)


def patch_exponents(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    *,
    scale: float | jax.Array,
    first_row: int | jax.Array = 0,
) -> jax.Array:
    """Exponents ``e_j`` of eq (6) over the rows ``first_row + 0..R-1`` of W.

    Args:
      patches: float [U, B, d], or of one patch [B, d].
      table: float [U, R, d], a block of W, or of one patch [R, d].
      indices: int [B], rows of the whole W.
      scale: s.
      first_row: row of W at which the block begins.

    Returns:
      [U, B, R] or [B, R]; -inf at the image's own row.
    """
    table = lax.stop_gradient(table)
    product = jnp.einsum(
        "...bd,...nd->...bn", patches, table, precision=lax.Precision.HIGHEST
    )
    squares = jnp.sum(jnp.square(patches), axis=-1)[..., :, None]
    squares = squares + jnp.sum(jnp.square(table), axis=-1)[..., None, :]
    exponents = -0.5 * scale * (squares - 2 * product)
    own = rows_of(table, first_row)[None, :] == indices[:, None]
    return jnp.where(jnp.broadcast_to(own, exponents.shape), -jnp.inf, exponents)


def rows_of(table: jax.Array, first_row: int | jax.Array) -> jax.Array:
    """Rows of the whole table that a block [..., R, D] of it holds, int32 [R]."""
    return first_row + jnp.arange(table.shape[-2], dtype=jnp.int32)


def finite_or_zero(maximum: jax.Array) -> jax.Array:
    """What to subtract before ``exp``; of no live row -inf - -inf would be nan."""
    return jnp.where(jnp.isfinite(maximum), maximum, 0)
