"""The nearest row of another cluster, for every row, on a ring of devices."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from fgu_jax.merging.blocks import place_bits, smallest_elsewhere
from fgu_jax.merging.bounds import Rows, products_below
from fgu_jax.merging.ring import Ring
from fgu_jax.progress import Progress


class _Nearest(NamedTuple):
    """So far, of one layer: squared distance ``[B]`` a device, and the row."""

    squared: jax.Array
    rows: jax.Array

    def or_nearer(self, other: _Nearest) -> _Nearest:
        closer = other.squared < self.squared
        return _Nearest(
            jnp.where(closer, other.squared, self.squared),
            jnp.where(closer, other.rows, self.rows),
        )


class _Side(NamedTuple):
    """A layer in a meeting; ``first`` is the number of each device's first row."""

    rows: Rows
    labels: jax.Array
    nearest: _Nearest
    first: jax.Array


@functools.partial(jax.jit, static_argnames=("mesh", "narrow"))
def _met(own: _Side, other: _Side, *, mesh: Mesh, narrow: bool):
    """What both layers know after they were compared."""

    def one(own: _Side, other: _Side):
        bounds = products_below(own.rows, other.rows, narrow=narrow)
        by_row, by_column = smallest_elsewhere(bounds, own.labels, other.labels)
        return _told(own, by_row, other), _told(other, by_column, own)

    return Ring(mesh).each(one)(own, other)


def _told(side: _Side, packed: jax.Array, met: _Side) -> _Nearest:
    place = place_bits(len(packed))
    squared = lax.bitcast_convert_type(packed & jnp.int32(~place), jnp.float32)
    found = _Nearest(squared, met.first + (packed & jnp.int32(place)))
    return side.nearest.or_nearer(found)


@functools.partial(jax.jit, donate_argnums=0)
def _joined(here: _Nearest, home: _Nearest) -> _Nearest:
    return here.or_nearer(home)


def nearest_on_ring(
    ring: Ring,
    layers: list[Rows],
    labels: np.ndarray,
    *,
    narrow: bool,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """For each row how near another cluster may be, and a row of one that is near.

    Args:
      ring: the devices.
      layers: of ``place_layers``.
      labels: integer ``[N]``; rows of one label are no neighbours.
      narrow: bfloat16 products, else float32.
      progress: called with (meetings of layers done, their number, what).

    Returns:
      ``squared[N]`` float32, at most the least squared distance of the rounded rows, or
      of the rows themselves unless ``narrow``, infinite where every row has one label;
      ``neighbours[N]`` int64, a row of another label that attains it to about one part
      in 2^10 and the rounding of the product.
    """
    height = len(layers[0].full)
    size = height // ring.size
    padded = np.full(len(layers) * height, -1, np.int32)
    padded[: len(labels)] = labels
    own_labels = [ring.cut(part) for part in padded.reshape(-1, height)]
    starts = np.arange(0, len(padded), size, dtype=np.int32).reshape(-1, ring.size)
    firsts = [ring.cut(part) for part in starts]
    here = [_nothing(ring, height) for _ in layers]
    others, away = list(zip(layers, own_labels, firsts, strict=True)), here
    total, done = ring.num_meetings(len(layers)), 0
    for shift in ring.shifts():
        if shift:
            away = [_nothing(ring, height) for _ in layers] if shift == 1 else away
            for k in range(len(layers)):  # one by one: two copies of one layer at most
                others[k], away[k] = ring.moved((others[k], away[k]), 1)
        for meeting in ring.meetings(len(layers), shift):
            a, b = meeting.own, meeting.other
            rows, of_rows, first = others[b]
            own = _Side(layers[a], own_labels[a], here[a], firsts[a])
            other = _Side(rows, of_rows, away[b], first)
            here[a], told = _met(own, other, mesh=ring.mesh, narrow=narrow)
            if shift or a != b:
                away[b] = told
            done += 1
            if progress:
                if b == len(layers) - 1:
                    jax.block_until_ready(here[a])  # what is said was done
                progress(done, total, "nearest neighbours")
    if ring.size > 1:
        home = [ring.moved(found, -ring.shifts()[-1]) for found in away]
        here = [_joined(*both) for both in zip(here, home, strict=True)]
    squared, nearest = (
        np.concatenate([np.asarray(part) for part in parts])[: len(labels)]
        for parts in zip(*here, strict=True)
    )
    return squared, nearest.astype(np.int64)


def _nothing(ring: Ring, height: int) -> _Nearest:
    return _Nearest(
        ring.cut(np.full(height, np.inf, np.float32)),
        ring.cut(np.zeros(height, np.int32)),
    )
