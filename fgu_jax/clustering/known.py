"""New images beside clusters that stay: put into these, or into new ones."""

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp

from fgu_jax.clustering.links import as_pairs, by_first_row, joined

FAR = 0.85
"""A new cluster whose mean Jaccard distance to a known one is no more is not new."""
_BLOCK = 1024  # new images that are compared at once


def put_beside(
    features: np.ndarray,
    similarities: sp.csr_array,
    found: np.ndarray,
    known: np.ndarray,
    links: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Clusters of all images: the known ones untouched, the new ones put.

    Average linkage decides what is new: a cluster of new images alone, at a mean
    distance of more than ``FAR`` from each known cluster. All others go to the cluster
    of the known image that is nearest to them by their features, as they would in a
    search; the closest first, each where no cannot-link forbids it.

    Args:
      features: float [N, D], unit rows.
      similarities: [N, N] of ``neighbour_graph``.
      found: int [N], clusters of ``tree(..., known=known)``.
      known: int [N], the cluster that an image is in and stays in; -1: a new image.
      links: must_link and cannot_link, int [P, 2] each, rows.

    Returns:
      int32 [N], dense, numbered by first appearance.
    """
    must, cannot = (as_pairs(pairs, "links", len(known)) for pairs in links)
    new, old = np.flatnonzero(known < 0), np.flatnonzero(known >= 0)
    if not len(new) or not len(old):
        return by_first_row(found)
    near = _of_known(similarities, found, known)
    unit_of = joined(len(known), must[:, 0], must[:, 1])
    of_known = features[old]  # once: it may be most of the features
    similarity, cluster = _nearest(features, new, of_known, known[old])
    # Known clusters are numbered as they are, new ones after them.
    label = np.where(known >= 0, known, found + 1 + known.max())
    foes = _foes(unit_of, cannot)
    taken: dict[int, set[int]] = {}
    for row in old[np.isin(unit_of[old], list(foes))]:
        taken.setdefault(int(known[row]), set()).add(int(unit_of[row]))
    settled = {int(unit_of[row]): int(known[row]) for row in old}
    for place in np.argsort(-similarity, kind="stable"):
        row, unit = new[place], int(unit_of[new[place]])
        if unit in settled:
            label[row] = settled[unit]
            continue
        if not near[found[row]]:
            continue
        first, enemies = int(cluster[place]), foes.get(unit, set())
        put: int | None = first
        if enemies & taken.get(first, set()):
            forbidden = [k for k, units in taken.items() if enemies & units]
            put = _next(features[row], of_known, known[old], forbidden)
        if put is not None:
            settled[unit] = put
            taken.setdefault(put, set()).add(unit)
            label[row] = put
    # Images that a link ties to one that was put went with it, or stay as they were.
    for row in new:
        if (unit := int(unit_of[row])) in settled:
            label[row] = settled[unit]
    return by_first_row(label)


def _of_known(
    similarities: sp.csr_array, found: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Bool [C]: which clusters hold known images, or are near enough to some."""
    old = known >= 0
    count = int(found.max()) + 1
    holds = np.zeros(count, bool)
    holds[found[old]] = True
    rows = np.arange(len(known))
    of_found = sp.csr_array((np.ones(len(rows)), (rows, found)), (len(rows), count))
    of_known = sp.csr_array(
        (np.ones(old.sum()), (rows[old], known[old])),
        (len(rows), int(known.max()) + 1),
    )
    sums = sp.coo_array(of_found.T @ similarities @ of_known)
    sizes = np.bincount(found, minlength=count), np.bincount(known[old])
    mean = sums.data / (sizes[0][sums.row] * sizes[1][sums.col])
    holds[sums.row[mean >= 1 - FAR]] = True
    return holds


def _nearest(
    features: np.ndarray, new: np.ndarray, old: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each new row the cosine to the nearest of ``old``, and that one's cluster."""
    similarity = np.empty(len(new))
    nearest = np.empty(len(new), np.int64)
    for low in range(0, len(new), _BLOCK):
        part = features[new[low : low + _BLOCK]] @ old.T
        best = part.argmax(axis=1)
        similarity[low : low + _BLOCK] = part[np.arange(len(part)), best]
        nearest[low : low + _BLOCK] = known[best]
    return similarity, nearest


def _next(
    feature: np.ndarray, old: np.ndarray, known: np.ndarray, forbidden: Iterable[int]
) -> int | None:
    """The cluster of the nearest known image that is in none of those forbidden."""
    allowed = ~np.isin(known, list(forbidden))
    if not allowed.any():
        return None
    return int(known[np.argmax(np.where(allowed, old @ feature, -np.inf))])


def _foes(unit_of: np.ndarray, cannot: np.ndarray) -> dict[int, set[int]]:
    foes: dict[int, set[int]] = {}
    for i, j in unit_of[cannot].tolist():
        foes.setdefault(i, set()).add(j)
        foes.setdefault(j, set()).add(i)
    return foes
