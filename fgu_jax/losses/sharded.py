"""Losses and memories of tables that are cut by rows over the devices.

Each device holds R rows of V, c and W, those from ``axis_index * R`` on. What a row
says of an example is small, so the examples go to the rows: every device has the
features of the whole batch (they are gathered for the memories in any case), works out
the partial statistics of its own rows, and the devices combine them.

    maximum            pmax            B (U + 1) numbers
    sum, own logit     psum            B (U + 2)
    k nearest of W     all_gather      B U k a device
    gradient, c_y      psum_scatter    B (2 D + U d), each device keeps its own part

No number sent depends on the height of a table.

The loss of an example depends on its own feature and on constants. Its gradient is
worked out here with its value, from the gathered features as constants, and attached
to the device's own features: the backward pass holds no collective, and gradients of
parameters are averaged over the devices as those of whole tables are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax import memory
from fgu_jax.losses import attracted_loss, check_num_neighbors, streamed
from fgu_jax.losses.logits import finite_or_zero


class Gathered(NamedTuple):
    """What the rows need of the whole batch, in its order; no gradient flows back."""

    global_features: jax.Array  # [B, D]
    patches: jax.Array  # [U, B, d]
    labels: jax.Array  # int32 [B]
    images: jax.Array  # int32 [B], rows of W


def rafl_losses(
    features: jax.Array,
    batch: Gathered,
    table: jax.Array,
    centres: jax.Array,
    *,
    temperature: float,
    num_clusters: jax.Array,
    axis_name: str,
) -> tuple[jax.Array, jax.Array]:
    """Repelled and attracted loss of a device's own examples: eqs (1)-(3).

    Args:
      features: float [b, D], the device's own part of v.
      batch: of all devices.
      table: float [R, D], its rows of V.
      centres: float [R, D], its rows of c.
      temperature: tau.
      num_clusters: C of the whole V.
      axis_name: the mapped axis.

    Returns:
      float [b] and float [b], as ``repelled_loss`` and ``attracted_loss``.
    """
    v, height = batch.global_features, table.shape[0]
    here = batch.labels - _first_row(table, axis_name)
    block_rows = streamed.rows_at_once(len(v), *table.shape)
    softmax = streamed.repelled_pass(
        v,
        table,
        temperature,
        jnp.clip(num_clusters - _first_row(table, axis_name), 0, height),
        block_rows,
        with_rows=True,
    )
    own_rows = _rows_of_batch(table, here)
    target = lax.psum(jnp.sum(v * own_rows, axis=-1), axis_name) / temperature
    everything, pushed = _combined(softmax, axis_name)
    both = jnp.stack(
        [(pushed - own_rows) / temperature, _rows_of_batch(centres, here)], axis=1
    )
    gradient, own_centres = jnp.unstack(
        lax.psum_scatter(both, axis_name, tiled=True), axis=1
    )
    value = _own_part(everything - target, axis_name)
    repelled = _with_gradient(value, gradient, features)
    each = jnp.arange(len(features), dtype=jnp.int32)
    return repelled, attracted_loss(features, own_centres, each)


def pedal_loss(
    patches: jax.Array,
    batch: Gathered,
    table: jax.Array,
    *,
    scale: float,
    num_neighbors: int,
    num_images: int,
    axis_name: str,
) -> jax.Array:
    """PEDAL of a device's own examples: eq (6).

    Among equal exponents the lower row of the whole W is the nearer one, as in
    ``losses.pedal_loss``.

    Args:
      patches: float [U, b, d], the device's own part of x.
      batch: of all devices.
      table: float [U, R, d], its rows of W.
      scale: s.
      num_neighbors: k, 1..N-1; it may be more than R.
      num_images: N; rows of the whole W from N on are dead.
      axis_name: the mapped axis.

    Returns:
      float [U, b].

    Raises:
      InputError: k outside 1..N-1.
    """
    check_num_neighbors(num_neighbors, num_images)
    x, first = batch.patches, _first_row(table, axis_name)
    copies, height, width = table.shape
    softmax, nearest, rows = streamed.pedal_pass(
        x,
        table,
        batch.images - first,
        scale,
        num_neighbors,
        streamed.rows_at_once(
            x.shape[1], height, width, copies=copies, num_neighbors=num_neighbors
        ),
        with_rows=True,
        num_rows=jnp.clip(num_images - first, 0, height),
    )
    everything, pushed = _combined(softmax, axis_name)
    # By device, and by rows within each: of equals top_k takes the lowest row.
    found = lax.all_gather(nearest, axis_name, axis=2, tiled=True)
    nearest, place = lax.top_k(found, num_neighbors)
    near = jax.nn.logsumexp(nearest, axis=-1)
    mine = place // num_neighbors == lax.axis_index(axis_name)
    share = jnp.where(mine, jnp.exp(nearest - near[..., None]), 0)
    rows = jnp.take_along_axis(rows, place % num_neighbors, axis=-1)
    pulled = streamed.weighted_rows(table, rows, share)
    gradient = lax.psum_scatter(
        scale * (pushed - pulled), axis_name, scatter_dimension=1, tiled=True
    )
    value = _own_part(everything - near, axis_name, axis=1)
    return _with_gradient(value, gradient, patches)


def update_cluster_memory(
    table: jax.Array,
    batch: Gathered,
    *,
    axis_name: str,
    rate: float = 0.5,
    hardest: bool = False,
) -> jax.Array:
    """``memory.update_cluster_memory`` of a device's rows [R, D] of V."""
    rows = _rows_here(table, batch.labels, axis_name)
    return memory.update_cluster_memory(
        table, batch.global_features, rows, rate=rate, hardest=hardest
    )


def update_patch_memory(
    table: jax.Array, batch: Gathered, *, rate: float, axis_name: str
) -> jax.Array:
    """``memory.update_patch_memory`` of a device's rows [U, R, d] of W."""
    rows = _rows_here(table, batch.images, axis_name)
    return memory.update_patch_memory(table, batch.patches, rows, rate=rate)


def _first_row(table: jax.Array, axis_name: str) -> jax.Array:
    return lax.axis_index(axis_name) * table.shape[-2]


def _rows_here(table: jax.Array, rows: jax.Array, axis_name: str) -> jax.Array:
    """Rows of the whole table as rows of this block; those elsewhere go beyond it.

    Modulo the whole height, so that they stay different: equal rows take turns.
    """
    whole = lax.axis_size(axis_name) * table.shape[-2]
    return jnp.mod(rows - _first_row(table, axis_name), whole)


def _rows_of_batch(table: jax.Array, here: jax.Array) -> jax.Array:
    """Rows [B, D] of this block; zeros where ``here`` [B] lies outside it."""
    inside = (here >= 0) & (here < len(table))
    rows = table[jnp.clip(here, 0, len(table) - 1)]
    return jnp.where(inside[:, None], rows, 0)


def _combined(softmax: streamed.Softmax, axis_name: str) -> tuple[jax.Array, jax.Array]:
    """The logsumexp over all rows, and this block's part of their weighted mean."""
    maximum = lax.pmax(softmax.maximum, axis_name)
    kept = jnp.exp(softmax.maximum - finite_or_zero(maximum))
    total = lax.psum(softmax.total * kept, axis_name)
    return maximum + jnp.log(total), softmax.weighted * (kept / total)[..., None]


def _own_part(values: jax.Array, axis_name: str, axis: int = 0) -> jax.Array:
    size = values.shape[axis] // lax.axis_size(axis_name)
    start = lax.axis_index(axis_name) * size
    return lax.dynamic_slice_in_dim(values, start, size, axis=axis)


@jax.custom_vjp
def _with_gradient(value: jax.Array, gradient: jax.Array, of: jax.Array) -> jax.Array:
    """``value`` [...], whose gradient by ``of`` [..., D] is ``gradient`` [..., D]."""
    del gradient, of
    return value


def _with_gradient_forward(value, gradient, of):
    return value, gradient.astype(of.dtype)


def _with_gradient_backward(gradient, cotangent):
    return None, None, cotangent[..., None].astype(gradient.dtype) * gradient


_with_gradient.defvjp(_with_gradient_forward, _with_gradient_backward)
