"""Every pair that can be an edge of the minimum spanning forest, given a fair forest.

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

from fgu_jax.merging.distance_bounds import (
    Block,
    Frame,
    block_pairs,
    lower_bounds,
    most_block_rows,
    place_blocks,
)
from fgu_jax.merging.leaf_limits import LeafLimits, limits_within
from fgu_jax.merging.neighbours import Progress
from fgu_jax.merging.refine import Pairs, Refiner


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
    refiner = Refiner(features, frame)
    total = len(blocks) * (len(blocks) + 1) // 2
    for done, (a, b) in enumerate(block_pairs(len(blocks)), 1):
        if a == b:
            if limits.to_end[a].max() >= 0:
                inside = _hits_within(blocks[a], jnp.asarray(limits.behind[a]))
                places = a * size + np.flatnonzero(inside)
                if len(places):
                    inner = np.maximum.reduceat(gaps[: places[-1]], places[:-1])
                    yield from refiner.within(chosen[places], inner)
        else:
            limits_a = np.maximum(limits.to_end[a], limits.between[a, b])
            limits_b = limits.from_start[b]
            if max(limits_a.max(), limits_b.max()) >= 0:
                hits = _hits_across(
                    blocks[a],
                    jnp.asarray(limits_a),
                    blocks[b],
                    jnp.asarray(limits_b),
                )
                rows, columns = (np.flatnonzero(hit) for hit in hits)
                yield from refiner.across(
                    chosen[a * size + rows],
                    limits_a[rows],
                    chosen[b * size + columns],
                    limits_b[columns],
                )
        if progress:
            progress(done, total, "candidate pairs")
