"""Several processes that train one network: a TPU pod, a cluster, two on loopback.

JAX's own engine: every process runs the same program over all devices. What is
written, and what is decided, is the first one's; the others are told. With one process
each function here does nothing that costs.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from fgu_jax.errors import InputError

Value = TypeVar("Value")

_LOOK_EVERY = 8  # dispatches between agreements on a stop; each is a round of messages


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the processes of a job; before any device is used.

    On TPU pods, SLURM, Open MPI and Kubernetes JAX finds all three by itself.

    Args:
      coordinator: ``host:port`` of the first process.
      num_processes: how many there are.
      process_id: of this one, 0..num_processes-1.

    Raises:
      InputError: they cannot be found, or do not answer.
    """
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"cannot join the processes of coordinator {coordinator}, process "
            f"{process_id} of {num_processes}: {said[:200]}; give --coordinator=HOST:"
            "PORT, --num_processes and --process_id to each"
        ) from None


def several() -> bool:
    """Whether there is more than one process."""
    return jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def on_first(action: Callable[[], Value]) -> Value | None:
    """What the first process's ``action`` gives, there; ``None`` on the others.

    All wait for it.

    Raises:
      InputError: the action's own, on every process, so that none waits forever.
    """
    if not several():
        return action()
    value, error = None, None
    if is_first():
        try:
            value = action()
        except InputError as raised:
            error = raised
    said = tell(None if error is None else str(error))
    if error is not None:
        raise error
    if said is not None:
        raise InputError(f"process 0: {said}")
    return value


def tell(value: Any) -> Any:
    """The first process's value, which JSON must be able to write, on every process."""
    if not several():
        return value
    text = json.dumps(value).encode() if is_first() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    padded = np.frombuffer(text.ljust(size, b" "), np.uint8) if is_first() else None
    sent = np.zeros(size, np.uint8) if padded is None else padded
    return json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(sent))))


def tell_array(make: Callable[[], np.ndarray], like: np.ndarray) -> np.ndarray:
    """An array that the first process makes, on every process.

    Args:
      make: called on the first alone.
      like: of the same shape and dtype.
    """
    if not several():
        return make()
    made = on_first(make)
    sent = np.zeros_like(like) if made is None else np.asarray(made, like.dtype)
    return np.asarray(multihost_utils.broadcast_one_to_all(sent))


def refuse_different(value: str, what: str) -> None:
    """Raises ``InputError`` on every process unless all have the same value."""
    if several() and tell_any(tell(value) != value):
        raise InputError(
            f"{what} is not the same on all {jax.process_count()} processes (here "
            f"{value[:60]!r}): give each the same arguments and the same data"
        )


def tell_any(value: bool | int) -> int:
    """The largest of the processes' values."""
    if not several():
        return int(value)
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def wait() -> None:
    """Until all processes are here."""
    if several():
        multihost_utils.sync_global_devices("fgu_jax")


def own_part(size: int, mesh: Mesh) -> slice:
    """The rows of a batch of ``size`` that this process's devices take."""
    count = mesh.devices.size
    mine = [
        k
        for k, device in enumerate(mesh.devices.flat)
        if device.process_index == jax.process_index()
    ]
    each = size // count
    return slice(mine[0] * each, (mine[-1] + 1) * each)


class Turn:
    """Counts dispatches, so that all processes agree on a stop at the same one."""

    def __init__(self) -> None:
        self._count = 0

    def due(self) -> bool:
        """Whether it is time: always with one process, else now and then."""
        self._count += 1
        return not several() or self._count % _LOOK_EVERY == 0
