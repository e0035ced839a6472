"""Partial statistics: what a block of table rows says of a batch.

Maximum, sum of exponentials and the largest k of disjoint blocks combine to those of
their union, so a table may be cut by rows, over time or over devices, and the losses
stay what they are.

Products ask for ``Precision.HIGHEST``: float32 would otherwise be TF32 on NVIDIA and
bfloat16 on TPU. Tables are constants: no gradient flows into them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Partials(NamedTuple):
    """What a block of cluster-memory rows says of a batch: [B] each.

    ``log(total) + maximum`` is the logsumexp over the block; ``target`` is the
    logit of the example's own cluster if the block holds it, else 0.
    """

    maximum: jax.Array
    total: jax.Array
    target: jax.Array


class PatchPartials(NamedTuple):
    """What a block of patch-memory rows says of a batch of patches.

    ``maximum`` and ``total`` are [U, B]; ``nearest`` [U, B, k] holds the block's k
    largest exponents e_j, in falling order.
    """

    maximum: jax.Array
    total: jax.Array
    nearest: jax.Array


def repelled_logits(
    features: jax.Array,
    table: jax.Array,
    *,
    temperature: float | jax.Array,
    num_clusters: int | jax.Array | None,
    first_row: int | jax.Array = 0,
) -> jax.Array:
    """Logits ``V_j^T v / tau`` of eq (1), [B, R]; -inf where a row is dead.

    Arguments as of ``repelled_partials``.
    """
    product = jnp.matmul(
        features, lax.stop_gradient(table).T, precision=lax.Precision.HIGHEST
    )
    logits = product / temperature
    if num_clusters is None:
        return logits
    alive = rows_of(table, first_row) < num_clusters
    return jnp.where(alive[None, :], logits, -jnp.inf)


def repelled_partials(
    features: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array,
    num_clusters: int | jax.Array | None,
    first_row: int | jax.Array = 0,
) -> Partials:
    """Partial statistics of eq (1) over the rows ``first_row + 0..R-1`` of V.

    Args:
      features: float [B, D].
      table: float [R, D], a block of V.
      labels: int [B], rows of the whole V.
      temperature: tau.
      num_clusters: C of the whole V; ``None``: every row of the block is alive.
      first_row: row of V at which the block begins.

    Returns:
      ``Partials`` of [B]; ``maximum`` is -inf where the block holds no live row.
    """
    logits = repelled_logits(
        features,
        table,
        temperature=temperature,
        num_clusters=num_clusters,
        first_row=first_row,
    )
    own = rows_of(table, first_row)[None, :] == labels[:, None]
    target = jnp.sum(jnp.where(own, logits, 0), axis=1)
    maximum, total = _maximum_and_total(logits)
    return Partials(maximum, total, target)


def combine(a: Partials, b: Partials) -> Partials:
    """Statistics of two disjoint blocks of rows as those of their union."""
    maximum, total = _combine_totals(a, b)
    return Partials(maximum, total, a.target + b.target)


def patch_exponents(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    *,
    scale: float | jax.Array,
    first_row: int | jax.Array = 0,
) -> jax.Array:
    """Exponents ``e_j`` of eq (6), [U, B, R]; -inf at the image's own row.

    Arguments as of ``pedal_partials``; of one patch [B, d] and [R, d] give [B, R].
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


def pedal_partials(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    *,
    scale: float | jax.Array,
    num_neighbors: int,
    first_row: int | jax.Array = 0,
) -> PatchPartials:
    """Partial statistics of eq (6) over the rows ``first_row + 0..R-1`` of W.

    Args:
      patches: float [U, B, d].
      table: float [U, R, d], a block of W.
      indices: int [B], rows of the whole W.
      scale: s.
      num_neighbors: k, at most R.
      first_row: row of W at which the block begins.

    Returns:
      ``PatchPartials``.
    """
    exponents = patch_exponents(
        patches, table, indices, scale=scale, first_row=first_row
    )
    maximum, total = _maximum_and_total(exponents)
    return PatchPartials(maximum, total, lax.top_k(exponents, num_neighbors)[0])


def combine_patch(a: PatchPartials, b: PatchPartials) -> PatchPartials:
    """Patch statistics of two disjoint blocks of rows as those of their union."""
    maximum, total = _combine_totals(a, b)
    nearest = jnp.concatenate([a.nearest, b.nearest], axis=-1)
    k = max(a.nearest.shape[-1], b.nearest.shape[-1])
    return PatchPartials(maximum, total, lax.top_k(nearest, k)[0])


def rows_of(table: jax.Array, first_row: int | jax.Array) -> jax.Array:
    """Rows of the whole table that a block [..., R, D] of it holds, int32 [R]."""
    return first_row + jnp.arange(table.shape[-2], dtype=jnp.int32)


def finite_or_zero(maximum: jax.Array) -> jax.Array:
    """What to subtract before ``exp``; of no live row -inf - -inf would be nan."""
    return jnp.where(jnp.isfinite(maximum), maximum, 0)


def _maximum_and_total(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    maximum = lax.stop_gradient(jnp.max(values, axis=-1))
    shifted = values - finite_or_zero(maximum)[..., None]
    return maximum, jnp.sum(jnp.exp(shifted), axis=-1)


def _combine_totals(
    a: Partials | PatchPartials, b: Partials | PatchPartials
) -> tuple[jax.Array, jax.Array]:
    maximum = jnp.maximum(a.maximum, b.maximum)
    shift = finite_or_zero(maximum)
    total = a.total * jnp.exp(a.maximum - shift) + b.total * jnp.exp(b.maximum - shift)
    return maximum, total
