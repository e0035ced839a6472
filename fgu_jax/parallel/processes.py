"""Several processes that train one network: a TPU pod, a cluster, two on loopback.

JAX's own engine: every process runs the same program over all devices. What is
written, and what is decided, is the first one's; the others are told. With one process
each function here does nothing that costs.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from fgu_jax.errors import InputError, NotWritten

Value = TypeVar("Value")


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the processes of a job; before any device is used.

    On TPU pods, SLURM, Open MPI and Kubernetes JAX finds all three by itself. Under
    SLURM and Open MPI it gives a process one GPU, unless JAX_LOCAL_DEVICE_IDS names
    more: docs/scaling.md.

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
      InputError: on the others, in one line, whatever the action raises on the first,
        so that none waits forever; ``NotWritten`` where it is that.
    """
    if not several():
        return action()
    value, error = None, None
    if is_first():
        try:
            value = action()
        except Exception as raised:  # of any kind: the others cannot know of it
            error = raised
    failure = broadcast(None if error is None else _in_a_line(error))
    if error is not None:
        raise error
    if failure is not None:
        kind = NotWritten if failure["not_written"] else InputError
        raise kind(f"process 0: {failure['said']}")
    return value


def _in_a_line(error: Exception) -> dict[str, Any]:
    said = " ".join(str(error).split())
    if not isinstance(error, InputError):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return {"said": said, "not_written": isinstance(error, NotWritten)}


def broadcast(value: Any) -> Any:
    """The first process's value, which JSON must be able to write, on every process."""
    if not several():
        return value
    text = json.dumps(value).encode() if is_first() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    sent = np.frombuffer(text.ljust(size), np.uint8)
    return json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(sent))))


def broadcast_array(make: Callable[[], np.ndarray], like: np.ndarray) -> np.ndarray:
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


def refuse_different(values: Mapping[str, Any], what: str) -> None:
    """Raises ``InputError`` on every process unless all have the same values.

    Args:
      values: names to values that JSON can write.
      what: what they are, for the error.
    """
    if not several():
        return
    first, *others = _gather(values)
    for k, other in enumerate(others, 1):
        if other != first:
            unlike = ", ".join(
                f"{name} is {json.dumps(mine)[:60]} on process 0 and "
                f"{json.dumps(other.get(name))[:60]} on process {k}"
                for name, mine in first.items()
                if mine != other.get(name)
            )
            raise InputError(
                f"{what} is not the same on all {jax.process_count()} processes: "
                f"{unlike}; give each the same arguments and the same data"
            )


def _gather(value: Any) -> list[Any]:
    """Every process's value, on every process."""
    text = json.dumps(value).encode()
    size = maximum(len(text))
    sent = np.frombuffer(text.ljust(size), np.uint8)
    return [json.loads(bytes(x)) for x in multihost_utils.process_allgather(sent)]


def maximum(value: bool | int) -> int:
    """The largest of the processes' values."""
    if not several():
        return int(value)
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def wait() -> None:
    """Until all processes are here."""
    if several():
        multihost_utils.sync_global_devices("fgu_jax")


def devices() -> list[jax.Device]:
    """The devices of all processes, those of one process side by side.

    By number they need not be: a TPU pod numbers its chips by their place on a grid.
    """
    return sorted(jax.devices(), key=lambda d: (d.process_index, d.id))


def own_part(size: int, mesh: Mesh) -> slice:
    """The rows of a batch of ``size`` that this process's devices take.

    The devices of a process stand side by side in the mesh, as ``devices`` has them.
    """
    count = mesh.devices.size
    mine = [
        k
        for k, device in enumerate(mesh.devices.flat)
        if device.process_index == jax.process_index()
    ]
    each = size // count
    return slice(mine[0] * each, (mine[-1] + 1) * each)
