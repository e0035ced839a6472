"""Rows cut over devices that lie in a ring: each block meets every other one once.

Rows stay put. A copy of them goes round, from each device to the one before it, and
after s shifts a device has the rows of the s-th device behind it to compare its own
with. Distances are symmetric: half a turn is enough, and at exactly half of it, where
both devices of a pair hold each other's rows, each takes half of the blocks. What was
found for the travelling rows travels with them, and is brought home at the end.

Rows are cut in layers. A layer is one array over all devices, with one block of B rows
on each, so that a program for one pair of layers serves every device and every pair.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fgu_jax.merging.bounds import Frame, Rows, measured_rows

AXIS = "ring"


class Meeting(NamedTuple):
    """A pair of layers, after ``shift`` shifts of the second one."""

    shift: int
    own: int
    other: int


class Ring(NamedTuple):
    """The devices, by their mesh."""

    mesh: Mesh

    @classmethod
    def of(cls, devices: Sequence[jax.Device]) -> Ring:
        """A ring of at least one device, in the order given."""
        places = np.array(list(devices))
        return cls(Mesh(places, (AXIS,), axis_types=(AxisType.Auto,)))

    @property
    def size(self) -> int:
        """How many devices there are."""
        return self.mesh.devices.size

    @property
    def platform(self) -> str:
        """What kind of devices they are."""
        return self.mesh.devices.flat[0].platform

    def cut(self, rows: np.ndarray) -> jax.Array:
        """An array ``[size B, ...]``, one block on each device."""
        return jax.device_put(rows, NamedSharding(self.mesh, P(AXIS)))

    def shifts(self) -> range:
        """0 and those after which no pair of devices has met yet, or just half."""
        return range(self.size // 2 + 1)

    def meetings(self, num_layers: int, shift: int) -> Iterator[Meeting]:
        """The pairs of layers that are compared after so many shifts.

        >>> ring = Ring.of(jax.devices()[:1])
        >>> [meeting[1:] for meeting in ring.meetings(2, 0)]
        [(0, 0), (0, 1), (1, 1)]
        """
        both_ways = 2 * shift % self.size == 0
        for own in range(num_layers):
            for other in range(own if both_ways else 0, num_layers):
                yield Meeting(shift, own, other)

    def num_meetings(self, num_layers: int) -> int:
        """Of all shifts."""
        each = (self.meetings(num_layers, shift) for shift in self.shifts())
        return sum(1 for meetings in each for _ in meetings)

    def blocks(self, meeting: Meeting, device: int) -> tuple[int, int]:
        """The numbers of the two blocks that a device compares, in order of rows."""
        behind = (device + meeting.shift) % self.size
        return meeting.own * self.size + device, meeting.other * self.size + behind

    def moved(self, tree: Any, shifts: int) -> Any:
        """Every block given to the device so many places before its own."""
        sent = _moved(tree, mesh=self.mesh, shifts=shifts % self.size)
        if self.platform == "cpu":
            # Simulated devices share threads: two messages under way may wait for ever.
            jax.block_until_ready(sent)
        return sent

    def each(self, function: Callable) -> Callable:
        """A function of one device's blocks, by name ``ring``, over all of them."""
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=P(AXIS),
            out_specs=P(AXIS),
            check_vma=False,
        )


@functools.partial(jax.jit, static_argnames=("mesh", "shifts"))
def _moved(tree: Any, *, mesh: Mesh, shifts: int) -> Any:
    ring = Ring(mesh)
    pairs = [(k, (k - shifts) % ring.size) for k in range(ring.size)]
    return ring.each(lambda tree: lax.ppermute(tree, AXIS, pairs))(tree)


def place_layers(
    ring: Ring, features: np.ndarray, chosen: np.ndarray, frame: Frame, size: int
) -> tuple[list[Rows], float]:
    """Puts the chosen rows of features ``[N, D]`` on the ring, layer by layer.

    Returns:
      The layers, row ``k`` of the choice in block ``k // size``; and r, the largest
      distance of a row from its bfloat16 rounding.
    """
    layers, farthest = [], []
    height = ring.size * size
    for start in range(0, len(chosen), height):
        part = chosen[start : start + height]
        block = np.zeros((height, features.shape[1]), np.float32)
        # With any other mode ``take`` would fill a buffer of its own first.
        np.take(features, part, axis=0, out=block[: len(part)], mode="clip")
        block *= frame.scale
        valid = np.arange(height) < len(part)
        rows, off = _measured(
            ring.cut(block), ring.cut(valid), frame.origin, mesh=ring.mesh
        )
        layers.append(rows)
        farthest.append(off)
    return layers, float(max(np.max(off) for off in jax.device_get(farthest)))


@functools.partial(jax.jit, static_argnames="mesh")
def _measured(scaled, valid, origin, *, mesh: Mesh):
    def one(scaled, valid):
        rows, off = measured_rows(scaled, valid, jnp.asarray(origin))
        return rows, off[None]

    return Ring(mesh).each(one)(scaled, valid)
