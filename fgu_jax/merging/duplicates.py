"""Rows that are identical: the zero-length edges, found without any product."""

from __future__ import annotations

import numpy as np

_CHUNK_BYTES = 8 << 20


def rows_per_chunk(num_columns: int, itemsize: int = 8) -> int:
    """How many rows a temporary of a few MiB holds."""
    return max(1, _CHUNK_BYTES // (itemsize * max(1, num_columns)))


def first_identical(rows: np.ndarray) -> np.ndarray:
    """For each row the first row that equals it, ``-0.0`` being ``0.0``.

    A 64-bit hash proposes and a comparison decides. Two different rows of one hash
    may hide later copies of the second: the result is then still of equal rows, only
    not always the first.

    Args:
      rows: finite float ``[N, D]``, C-contiguous.

    Returns:
      int64 ``[N]``, ``first[i] <= i`` and ``rows[first[i]] == rows[i]``.

    >>> first_identical(np.array([[1.0, 0.0], [2.0, 2.0], [1.0, -0.0]])).tolist()
    [0, 1, 0]
    """
    num_rows, row_bytes = len(rows), rows.shape[1] * rows.itemsize
    word = np.uint64 if row_bytes % 8 == 0 else np.uint32
    num_words = row_bytes // word(0).nbytes
    odd = np.random.default_rng(0).integers(0, 1 << 63, num_words, np.uint64) * 2 + 1
    hashes = np.empty(num_rows, np.uint64)
    step = rows_per_chunk(num_words)
    for start in range(0, num_rows, step):
        chunk = rows[start : start + step] + rows.dtype.type(0)  # -0.0 becomes 0.0
        bits = chunk.view(word).astype(np.uint64, copy=False)
        bits ^= bits >> np.uint64(32)  # a product carries upwards only
        bits *= odd
        bits ^= bits >> np.uint64(29)
        hashes[start : start + step] = bits.sum(axis=1)
    _, index, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    first = index[inverse]
    copies = np.flatnonzero(first != np.arange(num_rows))
    for start in range(0, len(copies), step):
        copy = copies[start : start + step]
        same = np.all(rows[copy] == rows[first[copy]], axis=1)
        first[copy[~same]] = copy[~same]
    return first.astype(np.int64)
