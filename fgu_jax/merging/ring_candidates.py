"""Every pair that can be an edge, as ``blocks`` finds them, on a ring of devices.

Products of one block with another, bfloat16 ones where those tell enough, only find the
rows and the columns that may hold a pair. These are few; they are compared again in
float32, and the pairs that pass go to the host as numbers. Where they are more than
there is room for, the host looks at those rows and columns itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from fgu_jax.merging.bounds import (
    Frame,
    Rows,
    even_block_rows,
    lowered,
    most_block_rows,
    products_below,
    raised,
)
from fgu_jax.merging.limits import (
    LeafLimits,
    Leaves,
    Pairs,
    Refiner,
    in_row_order,
    limits_within,
)
from fgu_jax.merging.ring import Meeting, Ring, place_layers
from fgu_jax.merging.ring_nearest import nearest_on_ring
from fgu_jax.progress import Progress

_SHARE = 4  # one row in so many is compared again
_WITHIN = 8  # pairs a row that one block may hold


class _Side(NamedTuple):
    rows: Rows
    to_end: jax.Array
    from_start: jax.Array
    number: jax.Array  # of each device's block


class _Found(NamedTuple):
    """Of each device: pairs as places of its two blocks, and what they are out of."""

    i: jax.Array
    j: jax.Array
    total: jax.Array  # [1]
    complete: jax.Array  # bool [1]; else the host must look at these:
    hit_rows: jax.Array  # bool [B]
    hit_columns: jax.Array


@functools.partial(jax.jit, static_argnames=("mesh", "narrow"))
def _met(own: _Side, other: _Side, between, reach, *, mesh: Mesh, narrow: bool):
    def one(own: _Side, other: _Side, between):
        comes_first = own.number < other.number
        limits_a = jnp.where(comes_first, own.to_end, own.from_start)
        limits_a = jnp.maximum(limits_a, between)
        limits_b = jnp.where(comes_first, other.from_start, other.to_end)
        wide_a, wide_b = raised(limits_a, reach), raised(limits_b, reach)
        hits = products_below(own.rows, other.rows, narrow=narrow) <= jnp.maximum(
            wide_a[:, None], wide_b[None, :]
        )
        size = len(limits_a)
        few = -(-size // _SHARE)
        rows, columns = jnp.any(hits, axis=1), jnp.any(hits, axis=0)
        places_a, some_a, some_limits_a = _few(rows, own.rows, limits_a, few)
        places_b, some_b, some_limits_b = _few(columns, other.rows, limits_b, few)
        close = products_below(some_a, some_b, narrow=False) <= jnp.maximum(
            some_limits_a[:, None], some_limits_b[None, :]
        )
        i, j, count = _pairs(close, size)
        complete = (jnp.maximum(jnp.sum(rows), jnp.sum(columns)) <= few) & (
            count <= size
        )
        return _Found(places_a[i], places_b[j], count, complete, rows, columns)

    return Ring(mesh).each(one)(own, other, between)


@functools.partial(jax.jit, static_argnames="mesh")
def _within(rows: Rows, behind: jax.Array, *, mesh: Mesh):
    def one(rows: Rows, behind: jax.Array):
        close = products_below(rows, rows, narrow=False) <= limits_within(behind)
        most = _WITHIN * len(behind)
        i, j, count = _pairs(close, most)
        hit = jnp.any(close, axis=1) | jnp.any(close, axis=0)
        return _Found(i, j, count, count <= most, hit, hit)

    return Ring(mesh).each(one)(rows, behind)


def _few(hit: jax.Array, rows: Rows, limits: jax.Array, few: int):
    """The first few rows that were hit; those that only fill up have infinite norms."""
    is_hit, places = jax.lax.top_k(hit.astype(jnp.int32), few)  # of equals the first
    taken = jax.tree.map(lambda x: jnp.take(x, places, axis=0), rows)
    full = jnp.where(is_hit > 0, taken.full, jnp.inf)
    return places, taken._replace(full=full), jnp.take(limits, places)


def _pairs(close: jax.Array, most: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Row and column of the first entries that are true, and how many there are.

    By running sums and bisection: counting entries into their slots would have nearly
    all of them wait for one slot.
    """
    height, width = close.shape
    along = jax.lax.cumsum(close.astype(jnp.int32), axis=1)
    in_row = along[:, -1]
    so_far = jax.lax.cumsum(in_row)
    slots = jnp.arange(most, dtype=jnp.int32)
    i = jnp.minimum(jnp.searchsorted(so_far, slots, side="right"), height - 1)
    wanted = slots - (so_far[i] - in_row[i])

    def halved(_, ends):
        low, high = ends
        middle = (low + high) // 2
        beyond = along[i, jnp.minimum(middle, width - 1)] > wanted
        return jnp.where(beyond, low, middle + 1), jnp.where(beyond, middle, high)

    ends = jnp.zeros_like(slots), jnp.full_like(slots, width)
    j = jax.lax.fori_loop(0, width.bit_length(), halved, ends)[0]
    return i.astype(jnp.int32), jnp.minimum(j, width - 1), so_far[-1:]


def candidates_on_ring(
    ring: Ring,
    features: np.ndarray,
    chosen: np.ndarray,
    gaps: np.ndarray,
    frame: Frame,
    *,
    narrow: bool,
    progress: Progress | None = None,
) -> Iterator[Pairs]:
    """As ``blocks.candidate_pairs``, on a ring of devices.

    Args:
      ring: the devices.
      features, chosen, gaps, frame: as there.
      narrow: whether bfloat16 products go before those in float32.
      progress: called with (meetings of layers done, their number, what).

    Yields:
      ``(i, j)``, int64 arrays with ``i < j``, together every pair within its limit
      and few others.
    """
    size = _block_rows(ring, len(chosen))
    layers, farthest = place_layers(ring, features, chosen, frame, size)
    limits = LeafLimits.of(gaps, len(layers) * ring.size, size)
    leaves = Leaves(chosen, gaps, limits, Refiner(features, frame))
    search = _Search(ring, leaves)
    numbers = np.arange(len(limits.behind), dtype=np.int32).reshape(-1, ring.size)

    def cut(values: np.ndarray) -> list[jax.Array]:
        height = ring.size * size
        return [ring.cut(part) for part in values.reshape(-1, height)]

    own = [
        _Side(*parts)
        for parts in zip(
            layers,
            cut(limits.to_end),
            cut(limits.from_start),
            [ring.cut(part) for part in numbers],
            strict=True,
        )
    ]
    reach = np.float32(2 * farthest if narrow else 0)
    behind = cut(limits.behind)
    others = list(own)
    total, done = ring.num_meetings(len(layers)), 0
    waiting: tuple[Meeting, _Found] | None = None
    for shift in ring.shifts():
        if shift:
            for k, other in enumerate(others):
                others[k] = ring.moved(other, 1)
        for meeting in ring.meetings(len(layers), shift):
            if shift == 0 and meeting.own == meeting.other:
                found = _within(
                    layers[meeting.own], behind[meeting.own], mesh=ring.mesh
                )
            else:
                found = _met(
                    own[meeting.own],
                    others[meeting.other],
                    ring.cut(search.between(meeting)),
                    reach,
                    mesh=ring.mesh,
                    narrow=narrow,
                )
            # Read one meeting late, so that the devices need not wait for the host.
            if waiting is not None:
                yield from search.read(*waiting)
            waiting = meeting, found
            done += 1
            if progress:
                progress(done, total, "candidate pairs")
    if waiting is not None:
        yield from search.read(*waiting)


def _block_rows(ring: Ring, num_rows: int) -> int:
    """Small blocks hold few hits, and powers of two compile once for many a number."""
    largest = 1 << (most_block_rows(ring.platform) - 1).bit_length()
    return min(largest, max(64, 1 << (num_rows // (8 * ring.size)).bit_length()))


class _Search(NamedTuple):
    """What the host needs to know of the rows, to read what the devices found."""

    ring: Ring
    leaves: Leaves

    def between(self, meeting: Meeting) -> np.ndarray:
        """The largest gap between the two blocks of each device, ``[size]``."""
        between = self.leaves.limits.between
        blocks = [self.ring.blocks(meeting, k) for k in range(self.ring.size)]
        return np.array([between[pair] for pair in blocks], np.float32)

    def read(self, meeting: Meeting, found: _Found) -> Iterator[Pairs]:
        parts = [np.asarray(x).reshape(self.ring.size, -1) for x in found]
        leaves, size = self.leaves, self.leaves.size
        for device in range(self.ring.size):
            a, b = self.ring.blocks(meeting, device)
            half_a_turn = 2 * meeting.shift == self.ring.size
            if half_a_turn and meeting.own == meeting.other and a > b:
                continue  # the other device compared these two blocks as well
            i, j, total, complete, rows, columns = (x[device] for x in parts)
            if complete[0]:
                count = int(total[0])
                i = leaves.chosen[a * size + i[:count]]
                j = leaves.chosen[b * size + j[:count]]
                yield in_row_order(i, j)
            elif a == b:
                yield from leaves.within(a, rows)
            elif a < b:
                yield from leaves.across(a, rows, b, columns)
            else:
                yield from leaves.across(b, columns, a, rows)


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
