"""A network's weights on disk, by orbax, with digests: a flipped byte is named.

CRC-32 finds every error within 32 bits, and all but one of 4 billion larger ones; it
guards against failing disks and cut copies, not against somebody who forges.
"""

import contextlib
import gc
import json
import logging
import sys
import threading
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict

from fgu_jax.errors import InputError
from fgu_jax.messages import first_line


def digest_arrays(tree: Any) -> dict[str, str]:
    """CRC-32 of each array's bytes, as eight hexadecimal digits, by its path.

    Args:
      tree: a pytree of NumPy or JAX arrays, typed PRNG keys among them.

    Returns:
      ``{"params/backbone/...": "0a1b2c3d"}``.

    >>> digest_arrays({"a": {"b": np.zeros(3, np.float32)}})
    {'a/b': '7bd5c66f'}
    """
    return {name: digest_bytes(_bytes(leaf)) for name, leaf in _named(tree)}


def digest_bytes(data: bytes | memoryview) -> str:
    """CRC-32 of bytes, as eight hexadecimal digits.

    >>> digest_bytes(b"123456789")
    'cbf43926'
    """
    return f"{zlib.crc32(data):08x}"


def digest_json(value: Any) -> str:
    """CRC-32 of a JSON value, whatever the order of its keys.

    >>> digest_json({"a": 1, "b": [0.1]}) == digest_json({"b": [0.1], "a": 1})
    True
    """
    return digest_bytes(json.dumps(value, sort_keys=True).encode())


def other_digest(tree: Any, expected: dict[str, str]) -> str | None:
    """The path of the first array whose digest is another or is not known.

    Args:
      tree: a pytree of arrays.
      expected: what ``digest_arrays`` gave for it, or for a larger tree.

    >>> tree = {"a": np.zeros(2), "b": np.ones(2)}
    >>> other_digest(tree, digest_arrays(tree))
    >>> other_digest(tree, digest_arrays({"a": np.zeros(2), "b": np.zeros(2)}))
    'b'
    """
    for name, digest in digest_arrays(tree).items():
        if expected.get(name) != digest:
            return name
    return None


def warn_unverified(what: str) -> None:
    """Says in one line that something was saved before there were digests.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_unverified("checkpoint 3")
    >>> print(caught[0].message)
    checkpoint 3 is of an earlier version, without digests: it is read unverified
    """
    warnings.warn(
        f"{what} is of an earlier version, without digests: it is read unverified",
        stacklevel=3,
    )


def other_shape(tree: Any, template: Any) -> str | None:
    """The path of the first array of another shape or dtype than the template's.

    >>> other_shape({"a": np.zeros(2)}, {"a": np.zeros(2, np.int32)})
    'a'
    """
    wanted = dict(_named(template))
    for name, leaf in _named(tree):
        if leaf.shape != wanted[name].shape or leaf.dtype != wanted[name].dtype:
            return name
    return None


def _named(tree: Any) -> Iterator[tuple[str, Any]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def _bytes(leaf: Any) -> memoryview:
    if isinstance(leaf, jax.Array):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        leaf = jax.device_get(leaf)
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data


Result = TypeVar("Result")
_NOISY = ("orbax", "tensorstore")  # whose names stand in what they print


def save_network(folder: Path, variables: dict[str, Any]) -> None:
    """Writes ``params`` and ``batch_stats`` to a folder that is not there yet.

    Raises:
      InputError: it cannot be written, or the disk is full.
    """
    quiet()
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder.resolve(), variables)
            checkpointer.wait_until_finished()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be written: {first_line(error)}") from error


def read_network(folder: Path, template: dict[str, Any], *, what: str) -> dict:
    """``params`` and ``batch_stats`` of a folder, as NumPy arrays.

    Args:
      folder: what ``save_network`` or a run's checkpoint wrote.
      template: the shapes and dtypes that the configuration's network has.
      what: what the folder is, for the error.

    Raises:
      InputError: another network's weights (which array, both shapes), or damaged.
    """
    quiet()
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    placed = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), template
    )

    def read() -> dict:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.metadata(folder.resolve()).item_metadata
            if found is None:
                raise ValueError("no record of its arrays")
            _check_fits(found.tree, template, what)
            return jax.device_get(checkpointer.restore(folder.resolve(), placed))

    return refusing_damaged(read, what)


def refusing_damaged(read: Callable[[], Result], what: str) -> Result:
    """What ``read`` gives; whatever orbax raises for damaged files is one line.

    Args:
      read: reads a checkpoint.
      what: what is read, for the error.

    Raises:
      InputError: by ``read``, or in place of any other exception.
    """

    def refuse(error: Exception) -> InputError:
        return InputError(
            f"{what} is damaged or cut short ({first_line(error)[:120]}): copy it "
            "again, or remove it to use the one before"
        )

    return calling_orbax(read, refuse)


def calling_orbax(
    act: Callable[[], Result], refuse: Callable[[Exception], InputError]
) -> Result:
    """What ``act`` gives; any error of orbax becomes the one that ``refuse`` makes.

    Args:
      act: reads or writes a checkpoint.
      refuse: an error of one line from orbax's own.

    Raises:
      InputError: by ``act``, or by ``refuse`` in place of any other exception.
    """
    with _without_orbax_tracebacks():
        try:
            return act()
        except InputError:
            raise
        except Exception as error:  # plain Exception, for a file that is cut short
            refusal = refuse(error)
        _await_leftovers()
    raise refusal


def _await_leftovers() -> None:
    """Until what orbax left has told what it has to tell; after an error alone.

    Its threads can be joined. Those of tensorstore, in C++, cannot even be seen, and
    call back within the moment that is waited. Tasks hold each other, and speak when
    they are collected.
    """
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("orbax"):
            threading.Thread.join(thread, timeout=5)  # its own raises what it failed of
    time.sleep(0.3)
    gc.collect()


@contextlib.contextmanager
def _without_orbax_tracebacks() -> Iterator[None]:
    """Drops what orbax prints of the tasks that it leaves; all else is told as before.

    When one array cannot be had, each of the others' tasks has a traceback printed: by
    a logger, by ``sys.excepthook`` or by ``sys.unraisablehook``.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    excepthook, unraisablehook = sys.excepthook, sys.unraisablehook

    def of_exception(kind, value, trace):
        if not _of_orbax(repr(value), trace):
            excepthook(kind, value, trace)

    def of_unraisable(it):
        # A coroutine's repr names its function alone, and not where that stands.
        code = getattr(it.object, "cr_code", None)
        where = code.co_filename if code else ""
        text = f"{it.exc_value!r} {it.object!r} {where}"
        if not _of_orbax(text, it.exc_traceback):
            unraisablehook(it)

    for logger in loggers:
        logger.addFilter(_is_no_record_of_orbax)
    sys.excepthook, sys.unraisablehook = of_exception, of_unraisable
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = excepthook, unraisablehook
        for logger in loggers:
            logger.removeFilter(_is_no_record_of_orbax)


def _of_orbax(text: str, trace: TracebackType | None = None) -> bool:
    frames = traceback.extract_tb(trace)
    # tensorstore's threads call back into a loop that has ended, from no Python code.
    if frames and frames[0].name == "call_soon_threadsafe":
        return True
    parts = [text, *(frame.filename for frame in frames)]
    return any(name in part for name in _NOISY for part in parts)


def _is_no_record_of_orbax(record: logging.LogRecord) -> bool:
    trace = record.exc_info[2] if record.exc_info else None
    return not _of_orbax(record.pathname + record.getMessage(), trace)


def _check_fits(found: dict, wanted: dict, what: str) -> None:
    have = {path: tuple(x.shape) for path, x in flatten_dict(found).items()}
    want = {path: tuple(x.shape) for path, x in flatten_dict(wanted).items()}
    for path in sorted(have.keys() | want.keys()):
        if have.get(path) != want.get(path):
            raise InputError(
                f"{what} holds another network than config.json says: "
                f"{'/'.join(path)} is {_shape(have.get(path))}, expected "
                f"{_shape(want.get(path))}; give each its own config.json, and the "
                "version of fgu_jax that wrote it"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else str(list(shape))


def quiet() -> None:
    """orbax tells of its own start at every level; its errors still come through."""
    logging.getLogger("absl").setLevel(logging.ERROR)
