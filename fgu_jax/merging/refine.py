"""Few rows' pairs in float64: what float32 could not rule out, or had no room for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from fgu_jax.merging.distance_bounds import Frame

_REFINED = 1024

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
        # The margin of distance_bounds with the roundoff of float64, rounded up.
        kept = 1 - 4 * (moved_a.shape[1] + 16) * 2.0**-53
        bounds = kept * (norms_a[:, None] + norms_b) - 2 * (moved_a @ moved_b.T)
        places_a, places_b = np.nonzero(bounds <= limits)
        i, j = a[places_a], b[places_b]
        return np.minimum(i, j), np.maximum(i, j)
