"""Whom a query may meet and should find, and what features and labels must be."""

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


# Identity of images of nobody, and of nobody known: in a gallery "junk", which counts
# neither as right nor as wrong.
UNKNOWN = -1


class Protocol:
    """Matches of each query, and what is left out of its ranking.

    Columns number the gallery images in ``kept``: those that are not junk.
    """

    def __init__(
        self,
        query_ids: ArrayLike,
        gallery_ids: ArrayLike,
        query_cameras: ArrayLike | None,
        gallery_cameras: ArrayLike | None,
        query_rows: ArrayLike | None,
        query_copies: ArrayLike | None = None,
        gallery_copies: ArrayLike | None = None,
    ) -> None:
        if (query_cameras is None) != (gallery_cameras is None):
            given, other = "query_cameras", "gallery_cameras"
            if query_cameras is None:
                given, other = other, given
            raise InputError(f"{given} given and {other} not: give both or neither")
        query = as_labels(query_ids, "query_ids")
        gallery = as_labels(gallery_ids, "gallery_ids")
        self.queries, self.width = queries, width = len(query), len(gallery)
        self.kept = np.flatnonzero(gallery != UNKNOWN)
        self._by_identity = np.argsort(gallery[self.kept], kind="stable")
        identities = gallery[self.kept][self._by_identity]
        self._start = np.searchsorted(identities, query)
        self._stop = np.searchsorted(identities, query, side="right")
        self._cameras: tuple[np.ndarray, np.ndarray] | None = None
        if query_cameras is not None and gallery_cameras is not None:
            self._cameras = (
                as_labels(query_cameras, "query_cameras", queries),
                as_labels(gallery_cameras, "gallery_cameras", width)[self.kept],
            )
        self._own = np.full(queries, -1)
        if query_rows is not None:
            rows = as_labels(query_rows, "query_rows", queries)
            if rows.size and not -1 <= rows.min() <= rows.max() < width:
                raise InputError(
                    f"query_rows reach from {rows.min()} to {rows.max()} and the "
                    f"gallery has {width} rows: give -1..{width - 1}"
                )
            column = np.full(width + 1, -1)  # its last entry answers for row -1
            column[self.kept] = np.arange(len(self.kept))
            self._own = column[rows]
        self._copies: dict[int, np.ndarray] = {}
        self._copied = np.full(queries, -1)
        if query_copies is not None and gallery_copies is not None:
            self._copied = as_labels(query_copies, "query_copies", queries)
            files = as_labels(gallery_copies, "gallery_copies", width)[self.kept]
            copied = np.flatnonzero(files >= 0)
            by_file = copied[np.argsort(files[copied], kind="stable")]
            numbers, starts = np.unique(files[by_file], return_index=True)
            for number, group in zip(
                numbers, np.split(by_file, starts)[1:], strict=True
            ):
                self._copies[int(number)] = group

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns of the matches of a query, and of what it does not meet."""
        same = self._by_identity[self._start[query] : self._stop[query]]
        met = np.ones(len(same), bool)
        if self._cameras is not None:
            met = self._cameras[1][same] != self._cameras[0][query]
        copies = self._copies.get(int(self._copied[query]))
        own = self._own[query]
        if own < 0 and copies is None:
            return same[met], same[~met]
        never = np.append([] if own < 0 else [own], [] if copies is None else copies)
        met &= ~np.isin(same, never)
        return same[met], np.union1d(same[~met], never).astype(same.dtype)
