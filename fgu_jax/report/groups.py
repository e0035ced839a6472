"""Sheets of clusters: the largest, and those that look worst."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fgu_jax import clustering
from fgu_jax.report.data import ReportData
from fgu_jax.report.sheet import Cell, Mark, Row, draw_rows
from fgu_jax.report.style import Picture, Theme
from fgu_jax.retrieval.protocol import UNKNOWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLUSTERS = 8
IMAGES = 12


def largest(data: ReportData) -> Picture | None:
    """The largest clusters; ``None`` where each image is a cluster of its own."""
    members = _members(data.clusters)
    chosen = _first(members, lambda rows: len(rows))
    if not chosen:
        return None
    shown = {c: _outward(data, members[c]) for c in chosen}
    sizes = [len(members[c]) for c in chosen]
    single = sum(len(rows) == 1 for rows in members.values())
    return _sheet(
        data,
        shown,
        members,
        stem="clusters-largest",
        title="The largest clusters",
        caption=(
            f"{len(members):,} clusters of {len(data.clusters):,} images; {single:,} "
            f"hold one image. From the middle outwards, at most {IMAGES} images each."
        ),
        alt=f"{len(chosen)} rows of images, clusters of {sizes[0]} to {sizes[-1]}.",
    )


def mixed(data: ReportData) -> Picture | None:
    """Clusters with most images that are not of their commonest identity."""
    if data.train_labels is None:
        return None
    identities = data.train_labels.identities
    members = _members(data.clusters)
    chosen = _first(members, lambda rows: _strangers(identities[rows]), least=1)
    if not chosen:
        return None
    shown = {c: _by_identity(identities, members[c]) for c in chosen}
    several = sum(_strangers(identities[rows]) > 0 for rows in members.values())
    return _sheet(
        data,
        shown,
        members,
        stem="clusters-mixed",
        title="The worst mixed clusters",
        caption=(
            f"{several:,} of {len(members):,} clusters hold more than one identity; "
            "these have most images of another identity than their commonest. Sorted "
            "by identity, at even steps."
        ),
        alt=f"{len(chosen)} rows of images, each of several identities.",
    )


def loosest(data: ReportData) -> Picture | None:
    """Clusters whose images lie furthest from their middle, on average."""
    members = _members(data.clusters)
    few = 3 if any(len(rows) > 2 for rows in members.values()) else 2
    eligible = {c: rows for c, rows in members.items() if len(rows) >= few}
    if not eligible:
        return None
    spread = {c: _distances(data, rows).mean() for c, rows in eligible.items()}
    chosen = sorted(eligible, key=lambda c: (-spread[c], c))[:CLUSTERS]
    shown = {c: _outward(data, members[c]) for c in chosen}
    return _sheet(
        data,
        shown,
        members,
        stem="clusters-loosest",
        title="The loosest clusters",
        caption=(
            f"Clusters of {few} images or more whose images lie furthest from their "
            "middle on average: where to look for what was joined wrongly. From the "
            "middle outwards."
        ),
        alt=f"{len(chosen)} rows of images, the clusters that are widest spread.",
    )


def alike(data: ReportData) -> Picture | None:
    """The pairs of clusters that are most alike: what may have to be joined."""
    if data.similarities is None:
        return None
    pairs, similarity = clustering.alike(data.similarities, data.clusters, CLUSTERS)
    if not len(pairs):
        return None
    members = _members(data.clusters)
    rows = []
    for pair, value in zip(pairs.tolist(), similarity, strict=True):
        chosen = [_outward(data, members[c], IMAGES // 2) for c in pair]
        sizes = [len(members[c]) for c in pair]
        heading = (
            f"clusters {pair[0]} ({sizes[0]} images) and {pair[1]} ({sizes[1]}): "
            f"similarity {value:.2f}"
        )
        rows.append((heading, np.concatenate(chosen), len(chosen[0])))
    return _listed(
        data,
        rows,
        stem="clusters-alike",
        title="The most alike pairs of clusters",
        caption=(
            "Pairs that would be merged next: the same individual twice, or two that "
            f"look alike. At most {IMAGES // 2} images each, from the middle outwards"
        ),
        alt=f"{len(rows)} rows of images, each of two clusters that are alike.",
    )


def nowhere(data: ReportData) -> Picture | None:
    """Images that fit nowhere: alone, or least like the rest of their cluster."""
    found = data.standing
    if found is None:
        return None
    order = np.lexsort((found.other, found.confidence))
    alone = np.bincount(data.clusters)[data.clusters] == 1
    rows = []
    for start in range(0, min(len(order), 3 * IMAGES), IMAGES):
        chosen = order[start : start + IMAGES]
        lone = int(alone[chosen].sum())
        sure = found.confidence[chosen].max()
        heading = f"{lone} alone, confidence up to {sure:.2f}"
        rows.append((heading, chosen, 0))
    return _listed(
        data,
        rows,
        stem="clusters-nowhere",
        title="Images that fit nowhere",
        caption=(
            f"{int(alone.sum()):,} images are alone in their cluster; these are the "
            "least sure of all, and the least like any other cluster come first"
        ),
        alt=f"{len(rows)} rows of images that no cluster is sure of.",
    )


def _listed(
    data: ReportData,
    rows: list[tuple[str, np.ndarray, int]],
    *,
    stem: str,
    title: str,
    caption: str,
    alt: str,
) -> Picture:
    """A sheet: of each row its heading, its images, how many stand apart in front."""
    labels = data.train_labels
    said = "" if labels is None else ". Under an image: its identity"

    def cell(row: int) -> Cell:
        if labels is None:
            return Cell(data.images[row])
        identity = int(labels.identities[row])
        return Cell(data.images[row], words=data.called(identity))

    return _drawn(
        [Row(title, tuple(map(cell, chosen)), lead) for title, chosen, lead in rows],
        [
            (heading, tuple(data.names[row] for row in chosen))
            for heading, chosen, _ in rows
        ],
        stem=stem,
        title=title,
        caption=f"{caption}{said}.",
        alt=alt,
    )


def _drawn(
    rows: list[Row], listing: list[tuple[str, tuple[str, ...]]], **said: str
) -> Picture:
    """The sheet of some rows, with the names of each; ``said`` as of ``Picture``."""

    def draw(theme: Theme) -> "Figure":
        return draw_rows(theme, rows)

    return Picture(draw=draw, is_sheet=True, listing=tuple(listing), **said)


def _members(clusters: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of each cluster, in row order."""
    order = np.argsort(clusters, kind="stable")
    numbers, start = np.unique(clusters[order], return_index=True)
    parts = np.split(order, start[1:])
    return {int(c): rows for c, rows in zip(numbers, parts, strict=True)}


def _first(
    members: dict[int, np.ndarray],
    score: Callable[[np.ndarray], int],
    least: int = 2,
) -> list[int]:
    scores = {c: score(rows) for c, rows in members.items()}
    eligible = [c for c in members if scores[c] >= least]
    return sorted(eligible, key=lambda c: (-scores[c], c))[:CLUSTERS]


def _strangers(identities: np.ndarray) -> int:
    """Images of known identity that are not of the commonest one."""
    known = identities[identities != UNKNOWN]
    if not len(known):
        return 0
    return len(known) - int(np.unique(known, return_counts=True)[1].max())


def _commonest(identities: np.ndarray) -> int | None:
    known = identities[identities != UNKNOWN]
    if not len(known):
        return None
    values, counts = np.unique(known, return_counts=True)
    return int(values[counts.argmax()])


def _distances(data: ReportData, rows: np.ndarray) -> np.ndarray:
    features = data.global_features[rows].astype(np.float64)
    return np.linalg.norm(features - features.mean(axis=0, keepdims=True), axis=1)


def _evenly(rows: np.ndarray, most: int = IMAGES) -> np.ndarray:
    places = np.linspace(0, len(rows) - 1, min(most, len(rows)))
    return rows[places.round().astype(int)]


def _outward(data: ReportData, rows: np.ndarray, most: int = IMAGES) -> np.ndarray:
    return _evenly(rows[np.argsort(_distances(data, rows), kind="stable")], most)


def _by_identity(identities: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The commonest identity first; at most ``IMAGES`` rows at even steps."""
    own = identities[rows]
    values, place, counts = np.unique(own, return_inverse=True, return_counts=True)
    return _evenly(rows[np.lexsort((rows, values[place], -counts[place]))])


def _sheet(
    data: ReportData,
    shown: dict[int, np.ndarray],
    members: dict[int, np.ndarray],
    *,
    stem: str,
    title: str,
    caption: str,
    alt: str,
) -> Picture:
    labels = data.train_labels
    rows, listing = [], []
    for cluster, chosen in shown.items():
        everybody = members[cluster]
        heading = f"cluster {cluster}: {len(everybody)} images"
        cells = [Cell(data.images[row]) for row in chosen]
        if labels is not None:
            own = labels.identities[everybody]
            commonest = _commonest(own)
            count = len(np.unique(own[own != UNKNOWN]))
            heading += f", {count} {'identity' if count == 1 else 'identities'}"
            if commonest is not None:
                heading += (
                    f", purity {1 - _strangers(own) / (own != UNKNOWN).sum():.2f}"
                )
            cells = [
                _judged(data, row, int(labels.identities[row]), commonest)
                for row in chosen
            ]
        rows.append(Row(heading, tuple(cells)))
        listing.append((heading, tuple(data.names[row] for row in chosen)))
    if labels is not None:
        caption += (
            f" {Mark.RIGHT.value} solid border: the cluster's commonest identity. "
            f"{Mark.WRONG.value} dashed: another. Under an image: its identity."
        )

    return _drawn(rows, listing, stem=stem, title=title, caption=caption, alt=alt)


def _judged(data: ReportData, row: int, identity: int, commonest: int | None) -> Cell:
    image, name = data.images[row], data.called(identity)
    if identity == UNKNOWN:
        return Cell(image, Mark.LEFT_OUT, name)
    return Cell(image, Mark.RIGHT if identity == commonest else Mark.WRONG, name)
