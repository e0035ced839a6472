"""Digests of what is saved, so that a flipped byte is seen and named.

CRC-32 finds every error within 32 bits, and all but one of 4 billion larger ones; it
guards against failing disks and cut copies, not against somebody who forges.
"""

import json
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


def digest_arrays(tree: Any) -> dict[str, str]:
    """CRC-32 of each array's bytes, as eight hexadecimal digits, by its path.

    Args:
      tree: a pytree of NumPy or JAX arrays, typed PRNG keys among them.

    Returns:
      ``{"params/backbone/...": "0a1b2c3d"}``.

    >>> digest_arrays({"a": {"b": np.zeros(3, np.float32)}})
    {'a/b': '7bd5c66f'}
    """
    return {name: _crc(_bytes(leaf)) for name, leaf in _named(tree)}


def digest_bytes(data: bytes) -> str:
    """CRC-32 of bytes, as eight hexadecimal digits.

    >>> digest_bytes(b"123456789")
    'cbf43926'
    """
    return _crc(data)


def digest_json(value: Any) -> str:
    """CRC-32 of a JSON value, whatever the order of its keys.

    >>> digest_json({"a": 1, "b": [0.1]}) == digest_json({"b": [0.1], "a": 1})
    True
    """
    return _crc(json.dumps(value, sort_keys=True).encode())


def first_difference(tree: Any, expected: dict[str, str]) -> str | None:
    """The path of the first array whose digest is another or is not known.

    Args:
      tree: a pytree of arrays.
      expected: what ``digest_arrays`` gave for it, or for a larger tree.

    >>> tree = {"a": np.zeros(2), "b": np.ones(2)}
    >>> first_difference(tree, digest_arrays(tree))
    >>> first_difference(tree, digest_arrays({"a": np.zeros(2), "b": np.zeros(2)}))
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


def first_unlike(tree: Any, template: Any) -> str | None:
    """The path of the first array of another shape or dtype than the template's.

    >>> first_unlike({"a": np.zeros(2)}, {"a": np.zeros(2, np.int32)})
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


def _bytes(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        leaf = jax.device_get(leaf)
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)


def _crc(data: Any) -> str:
    return f"{zlib.crc32(data):08x}"
