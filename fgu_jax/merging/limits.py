"""Up to which distance pairs matter, and few pairs again in float64.

The limit of two places is the largest gap between them. Within a block that is a
running maximum; for two blocks it is the largest of a number by row, one by column and
one by pair of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax.merging.bounds import Frame


def round_up(values: np.ndarray) -> np.ndarray:
    """Float32 no less than the float64 values."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


class LeafLimits(NamedTuple):
    """Limits of M blocks of B places each, float32, minus infinity beyond the last.

    Attributes:
      behind: ``[M, B]``, the gap behind each place.
      to_end: ``[M, B]``, the largest gap from a place to the end of its block.
      from_start: ``[M, B]``, the largest gap from its block's start to a place.
      between: ``[M, M]``, the largest gap of the blocks between two, symmetric.
    """

    behind: np.ndarray
    to_end: np.ndarray
    from_start: np.ndarray
    between: np.ndarray

    @classmethod
    def of(cls, gaps: np.ndarray, num_blocks: int, size: int) -> LeafLimits:
        """Of the gaps between neighbours, float64, at most M B - 1 of them.

        >>> limits = LeafLimits.of(np.array([0.0, 4.0, 1.0]), 2, 2)
        >>> limits.to_end.round(2).tolist()
        [[4.0, 4.0], [1.0, -inf]]
        """
        padded = np.full(num_blocks * size, -np.inf, np.float32)
        padded[: len(gaps)] = round_up(gaps)
        behind = padded.reshape(-1, size)
        to_end = np.maximum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
        from_start = np.full_like(behind, -np.inf)
        from_start[:, 1:] = np.maximum.accumulate(behind[:, :-1], axis=1)
        between = np.full((num_blocks, num_blocks), -np.inf, np.float32)
        for a in range(num_blocks - 2):
            passed = np.maximum.accumulate(to_end[a + 1 : -1, 0])
            between[a, a + 2 :] = between[a + 2 :, a] = passed
        return cls(behind, to_end, from_start, between)

    def across(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """By place of two blocks, ``a < b``: the larger of both is a pair's limit."""
        return np.maximum(self.to_end[a], self.between[a, b]), self.from_start[b]


def limits_within(behind: jax.Array) -> jax.Array:
    """Limits of all pairs of one block, ``[B, B]``; minus infinity unless row < column.

    >>> limits_within(jnp.array([0.0, 4.0, 1.0])).tolist()[0]
    [-inf, 0.0, 4.0]
    """
    places = jnp.arange(len(behind))
    after = jnp.concatenate([jnp.full(1, -jnp.inf, behind.dtype), behind[:-1]])
    limits = jnp.where(places[:, None] < places[None, :], after[None, :], -jnp.inf)
    return jax.lax.cummax(limits, axis=1)


_REFINED = 1024  # rows compared at once

Pairs: TypeAlias = tuple[np.ndarray, np.ndarray]


class Refiner(NamedTuple):
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
        # The margin of ``bounds`` with the roundoff of float64, rounded up.
        kept = 1 - 4 * (moved_a.shape[1] + 16) * 2.0**-53
        bounds = kept * (norms_a[:, None] + norms_b) - 2 * (moved_a @ moved_b.T)
        places_a, places_b = np.nonzero(bounds <= limits)
        return in_row_order(a[places_a], b[places_b])


def in_row_order(i: np.ndarray, j: np.ndarray) -> Pairs:
    """Pairs of rows, the lower one of each first."""
    return np.minimum(i, j), np.maximum(i, j)


class Leaves(NamedTuple):
    """Rows in leaf order, cut into blocks; what a device points at is looked at here.

    Attributes:
      chosen: int64 ``[R]``, the rows.
      gaps: float64 ``[R - 1]``, between neighbours.
      limits: of the blocks.
      refiner: of the features.
    """

    chosen: np.ndarray
    gaps: np.ndarray
    limits: LeafLimits
    refiner: Refiner

    @property
    def size(self) -> int:
        """Places of a block."""
        return self.limits.behind.shape[1]

    def within(self, block: int, hit: np.ndarray) -> Iterator[Pairs]:
        """Pairs of the places of one block that ``hit``, bool ``[B]``, names."""
        places = block * self.size + np.flatnonzero(hit)
        if len(places):
            inner = np.maximum.reduceat(self.gaps[: places[-1]], places[:-1])
            yield from self.refiner.within(self.chosen[places], inner)

    def across(
        self, a: int, rows: np.ndarray, b: int, columns: np.ndarray
    ) -> Iterator[Pairs]:
        """Pairs of one place of each block, ``a < b``, of those that were hit."""
        limits_a, limits_b = self.limits.across(a, b)
        rows, columns = np.flatnonzero(rows), np.flatnonzero(columns)
        yield from self.refiner.across(
            self.chosen[a * self.size + rows],
            limits_a[rows],
            self.chosen[b * self.size + columns],
            limits_b[columns],
        )
