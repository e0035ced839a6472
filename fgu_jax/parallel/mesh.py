"""The mesh of devices, and how functions and arrays are laid over it.

A function is written for one device with a named axis ``data``; ``map_over_devices``
runs it by ``jax.jit(jax.shard_map(...))``, and ``jax.pmap`` runs it unchanged.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fgu_jax.errors import InputError
from fgu_jax.parallel import processes

AXIS = "data"  # of the mesh: the batch's, and the tables' rows where they are cut
WHOLE = P()


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of the first devices with the one axis ``data``.

    Raises:
      InputError: more devices asked for than there are.
    """
    devices = processes.devices()
    count = num_devices or len(devices)
    if count > len(devices):
        raise InputError(f"devices is {count} but {len(devices)} are here")
    return Mesh(np.array(devices[:count]), (AXIS,), axis_types=(AxisType.Auto,))


def map_over_devices(
    function: Callable, mesh: Mesh, *, in_specs: tuple, out_specs: Any, donate: Any = ()
) -> jax.stages.Wrapped:
    """``function`` of one device over the mesh, compiled once.

    Arguments beyond ``in_specs`` are optional, and whole on every device.

    ``check_vma=False``: with it on, the gradient of replicated parameters is summed
    already, and the step's own mean would silently be wrong.
    """

    @functools.wraps(function)
    def mapped(*given):
        rest = [WHOLE] * (len(given) - len(in_specs))
        return jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(*in_specs, *rest),
            out_specs=out_specs,
            check_vma=False,
        )(*given)

    return jax.jit(mapped, donate_argnums=donate)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The tree on every device of the mesh; each process has all of it."""
    return jax.tree.map(lambda x: place(x, NamedSharding(mesh, P())), tree)


def shard_batch(tree: Any, mesh: Mesh, axis: int = 0) -> Any:
    """The tree cut along an axis, the first, over the mesh; each process has it all."""
    sharding = NamedSharding(mesh, P(*[None] * axis, AXIS))
    return jax.tree.map(lambda x: place(x, sharding), tree)


def shard_own(rows: np.ndarray, mesh: Mesh) -> jax.Array:
    """A batch over the mesh, of which each process has only ``processes.own_part``."""
    sharding = NamedSharding(mesh, P(AXIS))
    if not processes.several():
        return jax.device_put(rows, sharding)
    return jax.make_array_from_process_local_data(sharding, rows)


def place(x: Any, sharding: NamedSharding) -> jax.Array:
    """An array of which each process has all, where the sharding says."""
    if not processes.several() or getattr(x, "sharding", None) == sharding:
        return jax.device_put(x, sharding)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = place(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    # No messages: ``device_put`` would compare the processes' values.
    whole = np.asarray(jax.device_get(x))
    return jax.make_array_from_callback(whole.shape, sharding, lambda k: whole[k])
