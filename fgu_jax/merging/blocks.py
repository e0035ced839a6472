"""Nearest rows of other clusters, and all edges a forest leaves, in blocked passes.

A forest F over the clusters, not yet the best one, bounds what the best one may use: a
pair whose distance exceeds the largest edge on F's path between its ends closes a
cycle of shorter edges. With rows in the leaf order of F that largest edge is the
maximum of the gaps between the two places, and for two different blocks it is the
maximum of a number by row and a number by column, so that a device tests a whole block
at the price of one comparison a pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.merging.bounds import (
    Block,
    Frame,
    block_pairs,
    even_block_rows,
    lower_bounds,
    most_block_rows,
    place_blocks,
)
from fgu_jax.merging.limits import LeafLimits, Leaves, Pairs, Refiner, limits_within
from fgu_jax.progress import Progress


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


@jax.jit
def _hits_across(
    a: Block, limits_a: jax.Array, b: Block, limits_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Which rows, and which columns, hold a pair within its limit."""
    limits = jnp.maximum(limits_a[:, None], limits_b[None, :])
    hits = lower_bounds(a, b) <= limits
    return jnp.any(hits, axis=1), jnp.any(hits, axis=0)


@jax.jit
def _hits_within(a: Block, gaps: jax.Array) -> jax.Array:
    """Which rows of one block are in a pair within its limit."""
    hits = lower_bounds(a, a) <= limits_within(gaps)
    return jnp.any(hits, axis=1) | jnp.any(hits, axis=0)


def candidate_pairs(
    features: np.ndarray,
    chosen: np.ndarray,
    gaps: np.ndarray,
    frame: Frame,
    progress: Progress | None = None,
) -> Iterator[Pairs]:
    """Pairs of rows whose squared distance may be within the gaps between them.

    Args:
      features: float32 ``[N, D]``.
      chosen: int64 ``[R]``, the rows to pair, in leaf order.
      gaps: float64 ``[R - 1]``, squared and in the frame: the limit of a pair of
        neighbours; minus infinity within a cluster.
      frame: the frame.
      progress: called with (block pairs done, their number, what).

    Yields:
      ``(i, j)``, int64 arrays with ``i < j``, together every pair within its limit
      and few others.
    """
    # Small blocks hold few hits, and powers of two compile once for many a number.
    largest = 1 << (most_block_rows() - 1).bit_length()
    size = min(largest, max(64, 1 << (len(chosen) // 8).bit_length()))
    blocks = place_blocks(features, chosen, frame, size)
    limits = LeafLimits.of(gaps, len(blocks), size)
    leaves = Leaves(chosen, gaps, limits, Refiner(features, frame))
    total = len(blocks) * (len(blocks) + 1) // 2
    for done, (a, b) in enumerate(block_pairs(len(blocks)), 1):
        if a == b:
            if limits.to_end[a].max() >= 0:
                inside = _hits_within(blocks[a], jnp.asarray(limits.behind[a]))
                yield from leaves.within(a, np.asarray(inside))
        else:
            limits_a, limits_b = limits.across(a, b)
            if max(limits_a.max(), limits_b.max()) >= 0:
                of_a, of_b = jnp.asarray(limits_a), jnp.asarray(limits_b)
                hits = _hits_across(blocks[a], of_a, blocks[b], of_b)
                rows, columns = map(np.asarray, hits)
                yield from leaves.across(a, rows, b, columns)
        if progress:
            progress(done, total, "candidate pairs")


class BlockFinder:
    """In float32 on the default device; the host reads of each pair of blocks."""

    reach = 0.0

    def __init__(
        self,
        features: np.ndarray,
        rows: np.ndarray,
        frame: Frame,
        progress: Progress | None,
    ) -> None:
        self._features, self._frame, self._progress = features, frame, progress
        self._blocks = place_blocks(features, rows, frame, even_block_rows(len(rows)))

    def nearest(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return nearest_elsewhere(self._blocks, labels, self._progress)

    def candidates(self, chosen: np.ndarray, gaps: np.ndarray) -> Iterator[Pairs]:
        return candidate_pairs(
            self._features, chosen, gaps, self._frame, self._progress
        )

    def release(self) -> None:
        self._blocks = []
