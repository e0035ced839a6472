"""A sheet of queries with the first ten of their rankings, not the best ones only."""

import numpy as np

from fgu_jax import retrieval
from fgu_jax.evaluation.judge import of_labels
from fgu_jax.report.data import Retrieval
from fgu_jax.report.sheet import Cell, Mark, Row, draw_rows
from fgu_jax.report.style import Picture
from fgu_jax.retrieval import Metrics
from fgu_jax.retrieval.protocol import UNKNOWN, Protocol

QUERIES = 10
TOP = 10
LEFT_OUT = 3  # at most so many of them are drawn in one row


def spread_queries(average_precisions: np.ndarray, count: int = QUERIES) -> np.ndarray:
    """Rows of queries at even steps of the order by AP, the hardest first.

    Args:
      average_precisions: float [Q]; NaN where a query has no match, never chosen.

    >>> spread_queries(np.array([0.9, np.nan, 0.1, 0.5]), 2).tolist()
    [2, 0]
    """
    order = np.argsort(average_precisions, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(average_precisions))]
    places = np.linspace(0, len(order) - 1, min(count, len(order)))
    return order[places.round().astype(int)]


def ranking(test: Retrieval, query: int) -> list[tuple[int, Mark, int]]:
    """The first of a query's gallery: (row, mark, place), with what does not count.

    Images of the query's own identity and camera, copies of its file, and junk are not
    counted: they have place 0, and at most ``LEFT_OUT`` of them are listed.
    """
    gallery = test.gallery
    features = test.query.features[query : query + 1]
    nearest = retrieval.search(features, gallery.features, k=len(gallery.names))[0][0]
    protocol = Protocol(
        **of_labels(test.query.labels.take([query]), gallery.labels), query_rows=None
    )
    right, left_out = (protocol.kept[columns] for columns in protocol.of(0))
    ignored = gallery.labels.identities == UNKNOWN
    ignored[left_out] = True
    listed: list[tuple[int, Mark, int]] = []
    place = skipped = 0
    for row in nearest:
        if place == TOP:
            break
        if ignored[row]:
            skipped += 1
            if skipped <= LEFT_OUT:
                listed.append((int(row), Mark.LEFT_OUT, 0))
            continue
        place += 1
        listed.append((int(row), Mark.RIGHT if row in right else Mark.WRONG, place))
    return listed


def queries(test: Retrieval, metrics: Metrics) -> Picture:
    """The sheet; ``metrics`` are those of the fused features."""
    chosen = spread_queries(metrics.average_precisions)
    rows, listing, first_right = [], [], 0
    for query in chosen:
        found = ranking(test, query)
        precision = metrics.average_precisions[query]
        first = metrics.first_matches[query]
        cells = [Cell(test.query.images[query], words="query")]
        for row, mark, place in found:
            words = str(place) if place else "left out"
            cells.append(Cell(test.gallery.images[row], mark, words))
        title = f"AP {100 * precision:.0f}%, first match at {first}"
        rows.append(Row(title, tuple(cells), lead=1))
        names = (
            f"{mark.value} {place or 'left out'}: {test.gallery.names[row]}"
            for row, mark, place in found
        )
        listing.append((test.query.names[query], tuple(names)))
        first_right += first == 1
    return Picture(
        stem="queries",
        title="Queries and the first ten found",
        caption=(
            f"{len(chosen)} queries at even steps of the order by average precision "
            "(AP), the hardest first, ranked by the fused features. "
            f"{Mark.RIGHT.value} solid border: right. {Mark.WRONG.value} dashed: "
            f"wrong. {Mark.LEFT_OUT.value} dotted: left out of the ranking, for the "
            "same identity and camera, as junk or as a copy of the query's file; at "
            f"most {LEFT_OUT} are shown."
        ),
        alt=(
            f"{len(chosen)} rows of images: a query, then the first ten of the "
            f"gallery. In {first_right} of the rows the first is right."
        ),
        draw=lambda theme: draw_rows(theme, rows),
        is_sheet=True,
        listing=tuple(listing),
    )
