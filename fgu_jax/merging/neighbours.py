"""The nearest row of another cluster, for every row, in one blocked pass."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.merging.distance_bounds import Block, block_pairs, lower_bounds

Progress = Callable[[int, int, str], object]


def place_bits(size: int) -> int:
    """A mask of the bits that number the rows of a block."""
    return (1 << (size - 1).bit_length()) - 1


def smallest_elsewhere(
    bounds: jax.Array, labels_a: jax.Array, labels_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Smallest bound by row and by column, its place kept in the low mantissa bits.

    The bits of floats that are not negative sort as integers do, so that one integer
    minimum finds value and place; an argmin costs a quarter of the product.

    Args:
      bounds: float32 ``[B, B]``.
      labels_a: int32 ``[B]``, of the rows.
      labels_b: int32 ``[B]``, of the columns; pairs of one label are left out.
    """
    bounds = jnp.maximum(bounds, 0)
    bounds = jnp.where(labels_a[:, None] == labels_b[None, :], jnp.inf, bounds)
    place = place_bits(bounds.shape[0])
    bits = jax.lax.bitcast_convert_type(bounds, jnp.int32) & jnp.int32(~place)
    row_places = jax.lax.broadcasted_iota(jnp.int32, bits.shape, 0)
    column_places = jax.lax.broadcasted_iota(jnp.int32, bits.shape, 1)
    return jnp.min(bits | column_places, axis=1), jnp.min(bits | row_places, axis=0)


@jax.jit
def _nearest_in_pair(
    a: Block, labels_a: jax.Array, b: Block, labels_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return smallest_elsewhere(lower_bounds(a, b), labels_a, labels_b)


def nearest_elsewhere(
    blocks: list[Block], labels: np.ndarray, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each row a lower bound of its distance to any other cluster, and who is near.

    Args:
      blocks: the rows, as ``place_blocks`` left them.
      labels: integer ``[N]``; rows of one label are no neighbours.
      progress: called with (block pairs done, their number, what).

    Returns:
      ``bounds[N]`` float32, squared and in the frame, infinite where every row has one
      label; ``neighbours[N]`` int64, a row of another label that attains the bound to
      about one part in 2^12 and the rounding of the product.
    """
    size = len(blocks[0].norms)
    place = place_bits(size)
    padded = np.full(len(blocks) * size, -1, np.int32)
    padded[: len(labels)] = labels
    label_blocks = [jnp.asarray(part) for part in padded.reshape(-1, size)]
    bounds = np.full((len(blocks), size), np.inf, np.float32)
    neighbours = np.zeros((len(blocks), size), np.int64)

    def settle(where: int, other: int, packed: jax.Array) -> None:
        host = np.asarray(packed)
        found = (host & ~place).view(np.float32)
        closer = found < bounds[where]
        bounds[where][closer] = found[closer]
        neighbours[where][closer] = other * size + (host[closer] & place)

    total = len(blocks) * (len(blocks) + 1) // 2
    pending: tuple[tuple[int, int, jax.Array], ...] = ()
    for done, (a, b) in enumerate(block_pairs(len(blocks)), 1):
        found = _nearest_in_pair(blocks[a], label_blocks[a], blocks[b], label_blocks[b])
        # Read one pair late, so that an accelerator need not wait for the host.
        for where, other, packed in pending:
            settle(where, other, packed)
        pending = ((a, b, found[0]), (b, a, found[1]))
        if progress:
            progress(done, total, "nearest neighbours")
    for where, other, packed in pending:
        settle(where, other, packed)
    return bounds.ravel()[: len(labels)], neighbours.ravel()[: len(labels)]
