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
from typing import NamedTuple, TypeAlias

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
    round_up,
)
from fgu_jax.merging.neighbours import Progress

_REFINED = 1024

Pairs: TypeAlias = tuple[np.ndarray, np.ndarray]


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
    size = len(gaps)
    places = jnp.arange(size)
    after = jnp.concatenate([jnp.full(1, -jnp.inf, gaps.dtype), gaps[:-1]])
    limits = jnp.where(places[:, None] < places[None, :], after[None, :], -jnp.inf)
    hits = lower_bounds(a, a) <= jax.lax.cummax(limits, axis=1)
    return jnp.any(hits, axis=1) | jnp.any(hits, axis=0)


class _Refiner(NamedTuple):
    """Looks at the pairs of few rows again, in float64."""

    features: np.ndarray
    frame: Frame

    def across(
        self, a: np.ndarray, limits_a: np.ndarray, b: np.ndarray, limits_b: np.ndarray
    ) -> Iterator[Pairs]:
        """Pairs of one row of each set; the limit is the larger of both rows' own."""
        for start in range(0, len(a), _REFINED):
            part = slice(start, start + _REFINED)
            limits = np.maximum(limits_a[part, None], limits_b)
            yield self._pairs(a[part], b, limits)

    def within(self, rows: np.ndarray, gaps: np.ndarray) -> Iterator[Pairs]:
        """Pairs of one set; the limit is the largest gap between both."""
        if len(rows) > _REFINED:
            half = len(rows) // 2
            yield from self.within(rows[:half], gaps[: half - 1])
            yield from self.within(rows[half:], gaps[half:])
            to_end = np.maximum.accumulate(gaps[:half][::-1])[::-1]
            from_start = np.maximum.accumulate(np.append(-np.inf, gaps[half:]))
            yield from self.across(rows[:half], to_end, rows[half:], from_start)
        elif len(rows) > 1:
            after = np.append(-np.inf, gaps)
            limits = np.where(np.tri(len(rows), dtype=bool), -np.inf, after)
            limits = np.maximum.accumulate(limits, axis=1)
            yield self._pairs(rows, rows, limits)

    def _pairs(self, a: np.ndarray, b: np.ndarray, limits: np.ndarray) -> Pairs:
        moved_a, moved_b = (
            self.frame.move(self.features[rows], np.float64) for rows in (a, b)
        )
        norms_a, norms_b = (np.square(rows).sum(axis=1) for rows in (moved_a, moved_b))
        # The margin of distance_bounds with the roundoff of float64, rounded up.
        kept = 1 - 4 * (moved_a.shape[1] + 16) * 2.0**-53
        bounds = kept * (norms_a[:, None] + norms_b) - 2 * (moved_a @ moved_b.T)
        places_a, places_b = np.nonzero(bounds <= limits)
        i, j = a[places_a], b[places_b]
        return np.minimum(i, j), np.maximum(i, j)


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
    padded = np.full(len(blocks) * size, -np.inf, np.float32)
    padded[: len(gaps)] = round_up(gaps)
    behind = padded.reshape(-1, size)
    # The largest gap from a place to the end of its block, and from the start of its
    # block to a place.
    to_end = np.maximum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
    from_start = np.full_like(behind, -np.inf)
    from_start[:, 1:] = np.maximum.accumulate(behind[:, :-1], axis=1)

    refiner = _Refiner(features, frame)
    total = len(blocks) * (len(blocks) + 1) // 2
    between = np.float32(-np.inf)
    for done, (a, b) in enumerate(block_pairs(len(blocks)), 1):
        if a == b:
            if to_end[a].max() >= 0:
                inside = _hits_within(blocks[a], jnp.asarray(behind[a]))
                places = a * size + np.flatnonzero(inside)
                if len(places):
                    inner = np.maximum.reduceat(gaps[: places[-1]], places[:-1])
                    yield from refiner.within(chosen[places], inner)
            between = np.float32(-np.inf)
        else:
            limits_a = np.maximum(to_end[a], between)
            limits_b = from_start[b]
            between = np.maximum(between, to_end[b][0])
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
