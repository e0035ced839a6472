"""The losses over a table in blocks of rows: memory for a block, not for the table.

One pass gives value and gradient. Over the blocks run the maximum m, the sum
``sum_j exp(e_j - m)`` and the same sum of the rows themselves, all rescaled when m
grows; PEDAL keeps the k largest exponents and whose they are. With p and q the
softmax over all rows and over those k,

    d/dx [logsumexp_j e_j - logsumexp_k e_k] = s (sum_j p_j W_j - sum_k q_k W_k)

so the backward pass only scales what the forward pass has left: [U, B, d] numbers.
No gradient, no weighted rows: the value alone costs one product, not two.

Gradients are those of the plain form, ties included: among equal exponents the lower
row is the nearer one in both. They are given in reverse mode and once; forward mode
and second derivatives are the plain form's.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fgu_jax.losses.logits import (
    finite_or_zero,
    patch_exponents,
    repelled_logits,
    rows_of,
)

# Numbers of a block of rows and of all that is computed of it. On a CPU they stay in
# a core's cache; elsewhere a block must be worth the launch of its operations.
_BLOCK_ON_CPU = 3 << 18
_BLOCK_ELSEWHERE = 1 << 24
# Rows whose products take a CPU as long as one neighbour of a block's top-k.
_ROWS_A_NEIGHBOR = 448
_SMALL_ON_CPU = 512
# Rows whose largest stands for them: a CPU's top-k takes numbers one by one, a maximum
# a vector at a time. The k largest of all lie in the k groups whose largest are the
# largest; ties too: where a number of a group left out equals the k-th, so many groups
# before it hold one that all k stand at lower places.
_GROUP = 16


def rows_at_once(
    batch: int, num_rows: int, width: int, *, copies: int = 1, num_neighbors: int = 1
) -> int:
    """Rows of a block; ``num_rows`` where the plain form is the faster one.

    Args:
      batch: B, examples.
      num_rows: rows of the table.
      width: numbers of a row.
      copies: U, tables side by side; on a CPU they are read one after another.
      num_neighbors: k; blocks of few times k rows would only sort.
    """
    if jax.default_backend() == "cpu":
        by_size = _BLOCK_ON_CPU // (batch + width)
        most = max(_ROWS_A_NEIGHBOR * num_neighbors, by_size)
        small = max(_SMALL_ON_CPU, 4 * num_neighbors)
    else:
        by_size = _BLOCK_ELSEWHERE // (copies * (batch + width))
        most = max(256, 2 * num_neighbors, by_size)
        small = 2 * most
    if num_rows <= small:
        return num_rows
    blocks = max(2, -(-num_rows // most))
    # Even blocks: the last one overlaps the one before by less than a group a block.
    return -(-num_rows // (_GROUP * blocks)) * _GROUP


class Softmax(NamedTuple):
    """Sums over the rows so far, of weights ``exp(e_j - maximum)``: [..., B]."""

    maximum: jax.Array
    total: jax.Array  # of the weights
    moment: jax.Array  # of weights times exponents
    weighted: Any  # of weights times rows, [..., B, d]; None where only values count

    def logsumexp(self) -> jax.Array:
        """Of the exponents, [..., B]; -inf of no rows."""
        return self.maximum + jnp.log(self.total)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def streamed_pedal(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    scale: jax.Array,
    num_neighbors: int,
    block_rows: int,
) -> jax.Array:
    """``pedal_loss`` in blocks of ``block_rows`` rows of W; ``scale`` is a scalar."""
    softmax, nearest, _ = pedal_pass(
        patches, table, indices, scale, num_neighbors, block_rows, with_rows=False
    )
    return softmax.logsumexp() - jax.nn.logsumexp(nearest, axis=-1)


def _pedal_forward(patches, table, indices, scale, num_neighbors, block_rows):
    softmax, nearest, rows = pedal_pass(
        patches, table, indices, scale, num_neighbors, block_rows, with_rows=True
    )
    near = jax.nn.logsumexp(nearest, axis=-1)
    share = jnp.exp(nearest - near[..., None])
    pulled = weighted_rows(table, rows, share)
    pushed = softmax.weighted / softmax.total[..., None]
    by_patch = scale * (pushed - pulled)
    mean = softmax.moment / softmax.total
    by_scale = (mean - jnp.sum(share * nearest, axis=-1)) / scale
    loss = softmax.logsumexp() - near
    return loss, (by_patch.astype(patches.dtype), by_scale)


def _pedal_backward(num_neighbors, block_rows, residuals, cotangent):
    by_patch, by_scale = residuals
    gradient = cotangent[..., None].astype(by_patch.dtype) * by_patch
    return gradient, None, None, jnp.sum(cotangent * by_scale)


streamed_pedal.defvjp(_pedal_forward, _pedal_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def streamed_repelled(
    features: jax.Array,
    table: jax.Array,
    labels: jax.Array,
    temperature: jax.Array,
    num_clusters: jax.Array,
    block_rows: int,
) -> jax.Array:
    """``repelled_loss`` in blocks of rows of V; blocks of dead rows are not read."""
    softmax = repelled_pass(
        features, table, temperature, num_clusters, block_rows, with_rows=False
    )
    own = jnp.sum(features * table[labels], axis=-1)
    return softmax.logsumexp() - own / temperature


def _repelled_forward(features, table, labels, temperature, num_clusters, block_rows):
    softmax = repelled_pass(
        features, table, temperature, num_clusters, block_rows, with_rows=True
    )
    own_rows = table[labels]
    target = jnp.sum(features * own_rows, axis=-1) / temperature
    pushed = softmax.weighted / softmax.total[:, None]
    by_feature = (pushed - own_rows) / temperature
    by_temperature = (target - softmax.moment / softmax.total) / temperature
    loss = softmax.logsumexp() - target
    return loss, (by_feature.astype(features.dtype), by_temperature)


def _repelled_backward(block_rows, residuals, cotangent):
    by_feature, by_temperature = residuals
    gradient = cotangent[:, None].astype(by_feature.dtype) * by_feature
    return gradient, None, None, jnp.sum(cotangent * by_temperature), None


streamed_repelled.defvjp(_repelled_forward, _repelled_backward)


def weighted_rows(table: jax.Array, rows: jax.Array, weights: jax.Array) -> jax.Array:
    """``sum_k weights[u, b, k] table[u, rows[u, b, k]]``, [U, B, d]."""

    def add(k, total):  # one row of every patch at a time: [U, B, d]
        row = lax.dynamic_index_in_dim(rows, k, axis=-1, keepdims=False)
        weight = lax.dynamic_index_in_dim(weights, k, axis=-1)
        return total + weight * jax.vmap(lambda w, r: w[r])(table, row)

    dtype = jnp.result_type(weights, table)
    zero = jnp.zeros((*rows.shape[:-1], table.shape[-1]), dtype)
    return lax.fori_loop(0, rows.shape[-1], add, zero)


def pedal_pass(
    patches: jax.Array,
    table: jax.Array,
    indices: jax.Array,
    scale: float | jax.Array,
    num_neighbors: int,
    block_rows: int,
    *,
    with_rows: bool,
    num_rows: int | jax.Array | None = None,
) -> tuple[Softmax, jax.Array, jax.Array]:
    """The softmax over all rows, the k largest exponents, and their rows in W.

    Args:
      patches, table, indices, scale, num_neighbors, block_rows: as ``pedal_loss``; an
        index outside the table names no row of it. Of fewer than k rows the missing
        exponents are -inf, in row 0.
      with_rows: sum the rows too.
      num_rows: rows from here on are dead; ``None``: all are alive.
    """
    num_rows = table.shape[-2] if num_rows is None else num_rows

    def absorb(patches, carry, block, first, fresh):
        softmax, nearest, rows = carry
        exponents = patch_exponents(
            patches, block, indices, scale=scale, first_row=first
        )
        fresh = jnp.broadcast_to(fresh, exponents.shape)
        exponents = jnp.where(fresh, exponents, -jnp.inf)
        largest, places = _among_largest(exponents, min(num_neighbors, block_rows))
        # Those of earlier rows stand first, and of equals the first is taken.
        both = jnp.concatenate([nearest, largest], axis=-1)
        nearest, place = lax.top_k(both, num_neighbors)
        rows = jnp.concatenate([rows, first + places], axis=-1)
        rows = jnp.take_along_axis(rows, place, axis=-1)
        # Not their first: where a result of top_k is sliced, XLA sorts all there is.
        maximum = jnp.max(nearest, axis=-1)
        return _absorb(softmax, exponents, maximum, block), nearest, rows

    def fold(patches, patch):
        softmax = _nothing(patches, table, with_rows)
        shape = (*softmax.maximum.shape, num_neighbors)
        nearest = jnp.full(shape, -jnp.inf, softmax.maximum.dtype)
        start = (softmax, nearest, jnp.zeros(shape, jnp.int32))
        fold_in = functools.partial(absorb, patches)
        return _over_blocks(table, num_rows, block_rows, fold_in, start, patch)

    if jax.default_backend() != "cpu":
        return fold(patches, None)
    number = jnp.arange(len(patches), dtype=jnp.int32)
    # One patch after the other: what is computed of so many rows stays in the cache.
    return lax.map(lambda one: fold(*one), (patches, number))


def repelled_pass(
    features: jax.Array,
    table: jax.Array,
    temperature: float | jax.Array,
    num_clusters: int | jax.Array,
    block_rows: int,
    *,
    with_rows: bool,
) -> Softmax:
    """The softmax over the first ``num_clusters`` rows of V, ``with_rows`` summed."""

    def absorb(softmax, block, first, fresh):
        logits = repelled_logits(
            features,
            block,
            temperature=temperature,
            num_clusters=num_clusters,
            first_row=first,
        )
        logits = jnp.where(fresh[None, :], logits, -jnp.inf)
        maximum = jnp.maximum(softmax.maximum, jnp.max(logits, axis=-1))
        return _absorb(softmax, logits, maximum, block)

    alive = jnp.clip(num_clusters, 0, table.shape[0])
    start = _nothing(features, table, with_rows)
    return _over_blocks(table, alive, block_rows, absorb, start)


def _over_blocks(
    table: jax.Array,
    num_rows: int | jax.Array,
    block_rows: int,
    absorb: Callable[[Any, jax.Array, jax.Array, jax.Array], Any],
    start: Any,
    patch: jax.Array | None = None,
) -> Any:
    """Folds ``absorb(carry, block, first_row, fresh)`` over the first ``num_rows``.

    With ``patch`` a block is of this one alone, [R, d]. The last block is shifted
    back to end with the table; ``fresh`` [R] is false for the rows that the block
    before it had, and for those from ``num_rows`` on.
    """
    height = table.shape[-2]

    def one(number, carry):
        begin = number * block_rows
        first = jnp.minimum(begin, height - block_rows)
        if patch is None:
            block = lax.dynamic_slice_in_dim(table, first, block_rows, table.ndim - 2)
        else:  # in one slice: of two the first would copy all rows of the patch
            start_at = (patch, first, jnp.int32(0))
            shape = (1, block_rows, table.shape[-1])
            block = lax.dynamic_slice(table, start_at, shape)[0]
        rows = rows_of(block, first)
        return absorb(carry, block, first, (rows >= begin) & (rows < num_rows))

    blocks = (num_rows + block_rows - 1) // block_rows
    return lax.fori_loop(jnp.int32(0), jnp.int32(blocks), one, start)


def _nothing(examples: jax.Array, table: jax.Array, with_rows: bool) -> Softmax:
    dtype = jnp.result_type(examples, table)
    zero = jnp.zeros(examples.shape[:-1], dtype)
    weighted = jnp.zeros(examples.shape, dtype) if with_rows else None
    return Softmax(jnp.full_like(zero, -jnp.inf), zero, zero, weighted)


def _absorb(
    so_far: Softmax, exponents: jax.Array, maximum: jax.Array, block: jax.Array
) -> Softmax:
    """``maximum`` is that of the exponents so far and of these."""
    shift = finite_or_zero(maximum)
    kept = jnp.exp(so_far.maximum - shift)
    weights = jnp.exp(exponents - shift[..., None])
    products = jnp.where(weights > 0, weights * exponents, 0)  # not 0 times -inf
    weighted = so_far.weighted
    if weighted is not None:
        here = jnp.matmul(weights, block, precision=lax.Precision.HIGHEST)
        weighted = weighted * kept[..., None] + here
    return Softmax(
        maximum,
        so_far.total * kept + jnp.sum(weights, axis=-1),
        so_far.moment * kept + jnp.sum(products, axis=-1),
        weighted,
    )


def _among_largest(values: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Few of many numbers, the k largest among them, in the order of their places.

    Args:
      values: float [..., R]; grouped where R is even, at best a multiple of 16.
      k: at most R.

    Returns:
      Those numbers and their places 0..R-1, int32, both [..., K] with K >= k. Of
      numbers that equal the k-th largest those at the lowest places are among them.

    >>> _among_largest(jnp.array([3.0, 1.0, 2.0]), 1)[0].tolist()  # nothing to group
    [3.0, 1.0, 2.0]
    """
    *rest, count = values.shape
    group = math.gcd(count, _GROUP)
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
