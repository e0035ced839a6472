"""The two passes over all pairs: block by block on one device, or on a ring of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import jax
import numpy as np

from fgu_jax.merging.candidates import candidate_pairs
from fgu_jax.merging.distance_bounds import Frame, even_block_rows, place_blocks
from fgu_jax.merging.narrow_bounds import lowered
from fgu_jax.merging.neighbours import Progress, nearest_elsewhere
from fgu_jax.merging.refine import Pairs
from fgu_jax.merging.ring import Ring, place_layers
from fgu_jax.merging.ring_candidates import candidates_on_ring
from fgu_jax.merging.ring_neighbours import nearest_on_ring


class Finder(Protocol):
    """Both passes over some rows of features, in the frame.

    Attributes:
      reach: how far a distance that was computed may lie above the true one, beyond
        the bounds of its products.
    """

    reach: float

    def nearest(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each row a lower bound of its squared distance to any other cluster's,
        and the place of a row that is about so near."""

    def candidates(self, chosen: np.ndarray, gaps: np.ndarray) -> Iterator[Pairs]:
        """Every pair within its limit, see ``candidate_pairs``, and few others."""

    def release(self) -> None:
        """Frees the rows of the first pass, before the second places those it needs."""


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


class RingFinder:
    """On devices that share the rows, by bfloat16 products or in float32."""

    def __init__(
        self,
        features: np.ndarray,
        rows: np.ndarray,
        frame: Frame,
        devices: Sequence[jax.Device],
        progress: Progress | None,
    ) -> None:
        self._features, self._frame, self._progress = features, frame, progress
        self._ring = Ring.of(devices)
        size = even_block_rows(
            len(rows), devices=self._ring.size, platform=self._ring.platform
        )
        self._layers, farthest = place_layers(self._ring, features, rows, frame, size)
        self.reach = 2 * farthest

    def in_float32(self) -> None:
        """From now on: where bfloat16 cannot tell the distances that matter."""
        self.reach = 0.0

    def nearest(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        squared, neighbours = nearest_on_ring(
            self._ring,
            self._layers,
            labels,
            narrow=self.reach > 0,
            progress=self._progress,
        )
        return lowered(squared, self.reach), neighbours

    def candidates(self, chosen: np.ndarray, gaps: np.ndarray) -> Iterator[Pairs]:
        return candidates_on_ring(
            self._ring,
            self._features,
            chosen,
            gaps,
            self._frame,
            narrow=self.reach > 0,
            progress=self._progress,
        )

    def release(self) -> None:
        self._layers = []
