"""A state on the mesh and back: tables whole on every device, or cut by rows."""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fgu_jax.parallel.mesh import AXIS, map_over_devices, place, replicate
from fgu_jax.training.state import TABLES, TrainState, specs


def place_state(state: TrainState, mesh: Mesh, *, shard_tables: bool) -> TrainState:
    """The state on the mesh.

    Args:
      state: of the host or of any devices; each process has all of it, or has it on
        this mesh already.
      mesh: devices.
      shard_tables: V, c and W are cut by rows and padded by rows of zeros to as many
        rows a device; else every device has all of everything.
    """
    if not shard_tables:
        return replicate(state, mesh)
    state = _padded(state, mesh.devices.size)
    wanted = jax.tree.broadcast(specs(shard_tables=True), state)
    return jax.tree.map(lambda x, s: place(x, NamedSharding(mesh, s)), state, wanted)


def with_whole_tables(state: TrainState) -> TrainState:
    """The state as a run without ``shard_tables`` has it, N rows in every table.

    Tables that are cut come as NumPy arrays, on every process; others as they are.
    """
    num_images = state.labels.shape[0]

    def whole(table: Any, axis: int) -> Any:
        if table.shape[axis] == num_images and (
            not isinstance(table, jax.Array) or table.is_fully_replicated
        ):
            return table
        rows = [slice(None)] * axis + [slice(num_images)]
        return np.ascontiguousarray(_fetched(table, axis)[tuple(rows)])

    return state.replace(**{k: whole(getattr(state, k), a) for k, a in TABLES.items()})


def _padded(state: TrainState, multiple: int) -> TrainState:
    height = -(-state.labels.shape[0] // multiple) * multiple

    def pad(table: Any, axis: int) -> Any:
        missing = height - table.shape[axis]
        if not missing:
            return table
        widths = [(0, missing if k == axis else 0) for k in range(table.ndim)]
        return np.pad(np.asarray(jax.device_get(table)), widths)

    return state.replace(**{k: pad(getattr(state, k), a) for k, a in TABLES.items()})


def _fetched(table: jax.Array, axis: int) -> np.ndarray:
    if table.is_fully_addressable:
        return np.asarray(jax.device_get(table))
    # The rows of one device at a time: no device has to hold them all.
    sharding = cast(NamedSharding, table.sharding)
    take, devices = _taker(sharding.mesh, axis)
    parts = [np.asarray(take(table, np.int32(k))) for k in range(devices)]
    return np.concatenate(parts, axis)


@functools.cache
def _taker(mesh: Any, axis: int) -> tuple[Any, int]:
    def rows_of(table, device):
        mine = lax.axis_index(AXIS) == device
        return lax.psum(jnp.where(mine, table, 0), AXIS)

    cut = P(*[None] * axis, AXIS)
    take = map_over_devices(rows_of, mesh, in_specs=(cut, P()), out_specs=P())
    return take, mesh.devices.size
