"""CMC, mean average precision and mINP of a retrieval, without sorting it.

Each figure needs only the ranks of a query's matches, and a match's rank is the number
of gallery images that are nearer. Images further than the furthest match are dropped,
the rest are sorted by an approximate distance, and where a match and another image are
too close to call, the exact distance decides.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.progress import Progress
from fgu_jax.retrieval.distances import Filter, row_blocks
from fgu_jax.retrieval.protocol import Protocol, as_feature_pair, as_real

_CMC = 50  # ranks of the CMC


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What an evaluation found; figures are fractions in 0..1."""

    rank1: float
    rank5: float
    rank10: float
    mAP: float
    mINP: float
    num_queries: int
    """Queries with a match; every mean is over these."""
    num_skipped: int
    """Queries without a match."""
    cmc: tuple[float, ...] = field(repr=False)
    """``cmc[k - 1]``: share of queries with a match among the first k; k to 50."""
    average_precisions: np.ndarray = field(repr=False, compare=False)
    """Float64 [Q]: AP of each query; NaN where it has no match."""
    first_matches: np.ndarray = field(repr=False, compare=False)
    """Int64 [Q]: rank of each query's first match, from 1; 0 where it has none."""


def evaluate(
    query: ArrayLike | None,
    gallery: ArrayLike | None,
    *,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike | None = None,
    gallery_cameras: ArrayLike | None = None,
    query_rows: ArrayLike | None = None,
    query_copies: ArrayLike | None = None,
    gallery_copies: ArrayLike | None = None,
    average_precision: str = "hits",
    distances: ArrayLike | None = None,
    progress: Progress | None = None,
) -> Metrics:
    """Retrieval metrics under the protocol of Market-1501.

    For each query, gallery images of the same identity *and* camera are left out, as
    are those of identity -1 (junk); identity 0 stays, as a distractor. A query without
    a match left is not counted. With r_1 < ... < r_M the ranks of a query's matches,
    AP is the mean of i / r_i (``hits``: torchreid, and papers since), or of
    (i / r_i + (i - 1) / (r_i - 1)) / 2 with 0 / 0 = 1 (``trapezoid``: the code
    published with Market-1501 in 2015, BUC, PAUL); INP is M / r_M.

    Equal distances rank by gallery row, as in a stable sort. From features, the order
    is that of Euclidean distances computed in float64 from features in float32,
    whatever the hardware.

    Args:
      query: float [Q, D], features; None where ``distances`` are given.
      gallery: float [G, D], features; None where ``distances`` are given.
      query_ids: int [Q], identities.
      gallery_ids: int [G], identities.
      query_cameras: int [Q]; None: no camera leaves anything out.
      gallery_cameras: int [G]; None as above.
      query_rows: int [Q], for queries that are gallery images themselves: the row of
        each, which it never meets; -1 for a query from elsewhere. None: all are.
      query_copies: int [Q], and ``gallery_copies``, int [G]: a query never meets an
        image of its own number, as copies of one file have; -1 is a copy of nothing.
      average_precision: ``hits`` or ``trapezoid``.
      distances: finite [Q, G], smaller is nearer; used instead of features.
      progress: called as ``progress(queries done, Q, "evaluate")``.

    Returns:
      ``Metrics``. The Q x G matrix is never held, unless the caller gave it.

    Raises:
      InputError: NaN, a zero row, lengths or widths that differ, no query with a
        match, an unknown ``average_precision``.

    >>> metrics = evaluate(
    ...     [[1.0, 0.0]],
    ...     [[0.8, 0.6], [0.9, 0.1], [0.0, 1.0]],
    ...     query_ids=[7],
    ...     gallery_ids=[3, 7, 7],
    ... )
    >>> metrics.rank1, round(metrics.mAP, 4), round(metrics.mINP, 4)
    (1.0, 0.8333, 0.6667)

    Source: Zheng et al., ICCV 2015 (protocol); Ye et al., TPAMI 2021 (mINP).
    """
    if average_precision not in _AVERAGE_PRECISION:
        raise InputError(
            f"average_precision={average_precision!r}: give 'hits' or 'trapezoid'"
        )
    protocol = Protocol(
        *(query_ids, gallery_ids, query_cameras, gallery_cameras, query_rows),
        *(query_copies, gallery_copies),
    )
    count = protocol.queries
    wanted = [protocol.of(row) for row in range(count)]
    if not any(len(matches) for matches, _ in wanted):
        raise InputError(
            f"none of {count} queries has a match among {len(protocol.kept)} gallery "
            "images: compare the identities of both, and the cameras"
        )
    source = _source(query, gallery, distances, protocol)
    precisions = np.full(count, np.nan)
    penalties = np.full(count, np.nan)
    first_matches = np.zeros(count, np.int64)
    for rows in row_blocks(count, len(protocol.kept)):
        block = source.block(rows)
        for row, nearness in zip(range(rows.start, rows.stop), block, strict=True):
            matches, left_out = wanted[row]
            if len(matches):
                nearness[left_out] = np.inf
                ranks = np.sort(_ranks(nearness, matches, source, row))
                precisions[row] = _AVERAGE_PRECISION[average_precision](ranks)
                penalties[row] = len(ranks) / ranks[-1]
                first_matches[row] = ranks[0]
        if progress is not None:
            progress(rows.stop, count, "evaluate")
    counted = first_matches > 0
    firsts = np.bincount(first_matches[counted], minlength=_CMC + 1)[1 : _CMC + 1]
    cmc = (np.cumsum(firsts) / counted.sum()).tolist()
    return Metrics(
        rank1=cmc[0],
        rank5=cmc[4],
        rank10=cmc[9],
        mAP=float(precisions[counted].mean()),
        mINP=float(penalties[counted].mean()),
        num_queries=int(counted.sum()),
        num_skipped=int(count - counted.sum()),
        cmc=tuple(cmc),
        average_precisions=precisions,
        first_matches=first_matches,
    )


def _mean_at_hits(ranks: np.ndarray) -> float:
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def _trapezoid(ranks: np.ndarray) -> float:
    hits = np.arange(1, len(ranks) + 1)
    before = np.divide(hits - 1, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)
    return float((before + hits / ranks).mean() / 2)


_AVERAGE_PRECISION = {"hits": _mean_at_hits, "trapezoid": _trapezoid}


class _Matrix:
    """Distances that the caller gave: nothing in them is open."""

    def __init__(self, values: np.ndarray, kept: np.ndarray) -> None:
        self._values, self._kept = values, kept
        self.error = np.zeros(len(values))

    def block(self, rows: slice) -> np.ndarray:
        kind = self._values.dtype
        narrow = kind.itemsize <= 2 or kind == np.float32
        wide = np.promote_types(kind, np.float32 if narrow else np.float64)
        block = self._values[rows]
        if len(self._kept) < block.shape[1]:
            block = block[:, self._kept]
        block = block.astype(wide)  # a copy, that `evaluate` may write into
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            raise InputError(
                f"distances row {rows.start + bad[0]} holds NaN or infinity: "
                "look at the features of that query and of the gallery"
            )
        return block

    def exact(self, row: int, columns: np.ndarray) -> np.ndarray:
        return self._values[row, self._kept[columns]]


def _source(
    query: ArrayLike | None,
    gallery: ArrayLike | None,
    distances: ArrayLike | None,
    protocol: Protocol,
) -> Filter | _Matrix:
    sizes = (protocol.queries, protocol.width)
    if distances is not None:
        matrix = as_real(distances, "distances")
        if matrix.shape != sizes:
            raise InputError(
                f"distances have shape {matrix.shape} and there are {sizes[0]} "
                f"query_ids and {sizes[1]} gallery_ids: give [Q, G]"
            )
        return _Matrix(matrix, protocol.kept)
    if query is None or gallery is None:
        raise InputError("nothing to rank: give query and gallery, or distances")
    first, second = as_feature_pair(query, gallery)
    if (len(first), len(second)) != sizes:
        raise InputError(
            f"query and gallery have {len(first)} and {len(second)} rows, query_ids "
            f"and gallery_ids {sizes[0]} and {sizes[1]}: give one for each"
        )
    whole = len(protocol.kept) == len(second)
    return Filter(first, second if whole else second[protocol.kept])


def _ranks(
    nearness: np.ndarray, matches: np.ndarray, source: Filter | _Matrix, row: int
) -> np.ndarray:
    """Ranks of the matches, from 1, in the exact order with ties by column."""
    own = nearness[matches]
    # Two approximate values further apart than this are in their true order.
    window = 2 * float(source.error[row])
    near = np.flatnonzero(nearness <= own.max() + window)
    near = near[np.argsort(nearness[near])]
    values = nearness[near]
    low = np.searchsorted(values, own - window)
    high = np.searchsorted(values, own + window, side="right")
    open_ = high - low > 1
    if open_.any():
        # Positions within reach of an open match; those between are decided.
        edges = np.bincount(low[open_], minlength=len(near) + 1)
        edges -= np.bincount(high[open_], minlength=len(near) + 1)
        places = np.flatnonzero(np.cumsum(edges)[:-1])
        columns = near[places]
        columns = columns[np.lexsort((columns, source.exact(row, columns)))]
        by_column = np.argsort(columns)
        found = np.searchsorted(columns, matches[open_], sorter=by_column)
        low[open_] = places[by_column[found]]
    return low + 1
