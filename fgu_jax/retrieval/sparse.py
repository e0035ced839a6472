"""Sparse rows, as many and as few operations on them as re-ranking needs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


def ragged(start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """``start[0] .. start[0] + size[0] - 1``, then the same of 1, 2, ..., int64.

    >>> ragged(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist()
    [5, 6, 9, 10, 11]
    """
    stop = np.cumsum(size)
    total = int(stop[-1]) if len(stop) else 0
    return np.arange(total) + np.repeat(start - (stop - size), size)


def blocks_of(cost: np.ndarray, budget: int, most: int) -> Iterator[slice]:
    """Consecutive rows of at most ``budget`` together, and ``most`` in number.

    >>> [(b.start, b.stop) for b in blocks_of(np.array([3, 3, 9, 1, 1]), 6, 9)]
    [(0, 2), (2, 3), (3, 5)]
    """
    total = np.cumsum(cost)
    start = 0
    while start < len(cost):
        spent = total[start - 1] if start else 0
        stop = int(np.searchsorted(total, spent + budget, side="right"))
        stop = min(max(stop, start + 1), start + most, len(cost))
        yield slice(start, stop)
        start = stop


@dataclass(frozen=True)
class SparseRows:
    """Rows that are zero but for a few columns, one after the other."""

    start: np.ndarray  # int64 [N], of each row in the two below
    size: np.ndarray  # int64 [N]
    columns: np.ndarray  # int32 [entries]
    values: np.ndarray  # float32 [entries]

    @classmethod
    def of_sizes(
        cls, size: np.ndarray, columns: np.ndarray, values: np.ndarray
    ) -> "SparseRows":
        """From entries that lie row by row."""
        return cls(
            np.cumsum(size) - size,
            size,
            columns.astype(np.int32, copy=False),
            values.astype(np.float32, copy=False),
        )

    def transposed(self, first: int) -> "SparseRows":
        """Columns as rows, over rows ``first`` and later, counted from there."""
        count = len(self.size)
        offset = int(self.start[first])
        columns = self.columns[offset:]
        order = np.argsort(columns, kind="stable")
        rows = np.repeat(np.arange(count - first, dtype=np.int32), self.size[first:])
        size = np.bincount(columns, minlength=count)
        return SparseRows.of_sizes(size, rows[order], self.values[offset:][order])

    def mean_of(self, lists: np.ndarray, work: int) -> "SparseRows":
        """Row i becomes the mean of the rows ``lists[i]``; ``lists`` is [N, k]."""
        count, k = lists.shape
        sizes, columns, values = [], [], []
        for rows in blocks_of(self.size[lists].sum(axis=1), work, count):
            source = lists[rows].ravel()
            taken = ragged(self.start[source], self.size[source])
            local = np.repeat(
                np.repeat(np.arange(rows.stop - rows.start), k), self.size[source]
            )
            code = local * count + self.columns[taken]
            order = np.argsort(code)
            code = code[order]
            begins = np.flatnonzero(np.diff(code, prepend=-1))
            sums = np.add.reduceat(self.values[taken[order]], begins, dtype=np.float64)
            row, column = np.divmod(code[begins], count)
            sizes.append(np.bincount(row, minlength=rows.stop - rows.start))
            columns.append(column.astype(np.int32))
            values.append((sums / k).astype(np.float32))
        return SparseRows.of_sizes(
            np.concatenate(sizes), np.concatenate(columns), np.concatenate(values)
        )
