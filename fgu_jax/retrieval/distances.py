"""Euclidean distances in blocks: a fast product that filters, an exact recheck.

A product in float32 says which gallery images are near, with an error that is bounded
here; whatever the bound leaves open is computed again in float64. What comes out then
depends neither on the size of the blocks nor on the BLAS that multiplies.
"""

import math
from collections.abc import Iterator

import numpy as np

_BLOCK = 1 << 23  # entries of a block of distances: 32 MiB in float32
_PAIRS = 1 << 20  # numbers gathered at once by `squared_distances`
_ALL = slice(None)
_TERMS = 512  # width multiplied at once: the fewer, the smaller the error
_FEWEST = 32  # rows of a block, however wide: below it a product is slow


def row_blocks(rows: int, width: int, entries: int | None = None) -> Iterator[slice]:
    """Slices that cut ``rows`` rows, ``width`` wide, into blocks of ``entries``."""
    step = max(_FEWEST, (entries or _BLOCK) // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def squared_distances(
    first: np.ndarray, second: np.ndarray, i: np.ndarray, j: np.ndarray
) -> np.ndarray:
    """``||first[i] - second[j]||^2`` of pairs, float64 [P]: the one true distance."""
    out = np.empty(len(i))
    for part in row_blocks(len(i), first.shape[1], _PAIRS):
        gap = first[i[part]].astype(np.float64)
        gap -= second[j[part]]
        np.einsum("pd,pd->p", gap, gap, out=out[part])
    return out


class Filter:
    """Approximate squared distances of all queries to all gallery images, by block.

    The features are moved to the gallery's mean and scaled by a power of two, neither
    of which changes an order; it keeps the numbers, and so their error, small.
    """

    def __init__(self, query: np.ndarray, gallery: np.ndarray) -> None:
        self.query, self.gallery = query, gallery
        mean = gallery.mean(axis=0, dtype=np.float64)
        largest = max(float(np.abs(query).max()), float(np.abs(gallery).max()))
        self._scale = 2.0 ** -math.frexp(largest)[1]
        self._right = self._moved(gallery, mean)
        right_square = _squares(self._right)
        self._left, self._left_square = self._right, right_square
        if query is not gallery:
            self._left = self._moved(query, mean)
            self._left_square = _squares(self._left)
        self._right_square = right_square.astype(np.float32)
        # |error| of one entry, in the order of its terms: the products and sums of one
        # part of the width and the sum of parts, at 2^-24 of at most |x||y| each; a
        # handful of single roundings; underflow.
        width = query.shape[1]
        sums = min(width, _TERMS) + width // _TERMS
        units = 1.01 * (sums / 2 + 8) * 2.0**-24
        reach = np.sqrt(self._left_square) + np.sqrt(right_square.max())
        self.error = units * reach**2 + width * float(np.finfo(np.float32).tiny)
        """Float64 [Q]: how far an entry of ``block`` may be from the truth."""

    def __len__(self) -> int:
        return len(self.query)

    @property
    def width(self) -> int:
        """Number of gallery images."""
        return len(self.gallery)

    def block(self, rows: slice, columns: slice = _ALL) -> np.ndarray:
        """Float32 [B, G], ordered as the distances are, each within ``error[rows]``.

        It is ``scale^2 (||x - y||^2) - ||x||^2``: the last term is the same for a row.
        """
        left, right = -2 * self._left[rows], self._right[columns]
        out = np.matmul(left[:, :_TERMS], right[:, :_TERMS].T)
        for start in range(_TERMS, left.shape[1], _TERMS):
            part = slice(start, start + _TERMS)
            out += np.matmul(left[:, part], right[:, part].T)
        out += self._right_square[None, columns]
        return out

    def relative(
        self, rows: slice, largest: np.ndarray, columns: slice = _ALL
    ) -> np.ndarray:
        """Float32 [B, G], 0..1: squared distances over the ``largest`` [B] of a row."""
        out = self.block(rows, columns)
        out += self._left_square[rows, None].astype(np.float32)
        out *= (self._scale**-2 / largest)[:, None]
        return np.clip(out, 0, 1, out=out)

    def exact(self, row: int, columns: np.ndarray) -> np.ndarray:
        """Float64 squared distances from one query to some gallery images."""
        rows = np.full(len(columns), row)
        return squared_distances(self.query, self.gallery, rows, columns)

    def _moved(self, features: np.ndarray, mean: np.ndarray) -> np.ndarray:
        out = np.empty_like(features)
        for rows in row_blocks(*features.shape):
            out[rows] = (features[rows] - mean[None, :]) * self._scale
        return out


def _squares(features: np.ndarray) -> np.ndarray:
    out = np.empty(len(features))
    for rows in row_blocks(*features.shape):
        block = features[rows].astype(np.float64)
        np.einsum("nd,nd->n", block, block, out=out[rows])
    return out
