"""What features and labels must be before a distance between them means anything."""

import operator

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError


def as_features(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` as float32 [N, D] in C order; copied only where it has to be."""
    array = as_real(values, name)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name} has shape {array.shape}: give [images, features], none of them 0"
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    _refuse_unless(np.isfinite(array).all(axis=1), name, "holds NaN or infinity")
    _refuse_unless(np.any(array, axis=1), name, "has zero norm")
    return array


def as_feature_pair(
    query: ArrayLike, gallery: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Query and gallery as float32 of one width."""
    first, second = as_features(query, "query"), as_features(gallery, "gallery")
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"query is {first.shape[1]} wide and gallery {second.shape[1]}: "
            "take both from one network"
        )
    return first, second


def as_labels(values: ArrayLike, name: str, rows: int | None = None) -> np.ndarray:
    """``values`` as int64 [rows]."""
    array = np.asarray(values)
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        count = "images" if rows is None else f"{rows} images"
        raise InputError(
            f"{name} has shape {array.shape}: give one number for each of the {count}"
        )
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} holds {array.dtype}: give integers")
    return array.astype(np.int64)


def as_real(values: ArrayLike, name: str) -> np.ndarray:
    """``values`` as an array of real numbers (the kinds that NumPy and JAX have)."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name} has rows of different lengths: give one") from None
    if not np.can_cast(array.dtype, np.longdouble):
        raise InputError(f"{name} holds {array.dtype}: give real numbers")
    # bfloat16 and the like, in which NumPy itself cannot sort.
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def as_count(value: int, name: str, most: int, of: str) -> int:
    """``value`` as an integer 1..``most``."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if not 1 <= count <= most:
        raise InputError(f"{name}={value!r} of {of}: give a whole number, 1..{most}")
    return count


def _refuse_unless(good: np.ndarray, name: str, why: str) -> None:
    rows = np.flatnonzero(~good)
    if len(rows):
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise InputError(
            f"{name} row {rows[0]}{more} {why}: leave it out, or look at its image "
            "and at the network"
        )
