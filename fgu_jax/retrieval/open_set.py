"""How near is near enough: the distance beyond which a search finds nobody."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.retrieval.distances import Filter, row_blocks
from fgu_jax.retrieval.protocol import Protocol, as_feature_pair


class OpenSet(NamedTuple):
    """A search that may find nobody.

    Attributes:
      max_distance: Euclidean; matches beyond it are not told.
      strangers: share of the queries, 0..1, that have another individual within it: as
        many would be told a match though their own individual were not in the gallery.
      found: share of the queries with a match, 0..1, whose nearest one lies within it.
    """

    max_distance: float
    strangers: float
    found: float


def open_set(
    query: ArrayLike,
    gallery: ArrayLike,
    *,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike | None = None,
    gallery_cameras: ArrayLike | None = None,
    query_copies: ArrayLike | None = None,
    gallery_copies: ArrayLike | None = None,
    strangers: float = 0.01,
) -> OpenSet:
    """The largest distance within which few queries meet a stranger.

    Whom a query may meet is as in ``evaluate``.

    Args:
      query, gallery: float [Q, D] and [G, D], features.
      query_ids, gallery_ids: int [Q] and [G].
      query_cameras, gallery_cameras, query_copies, gallery_copies: as of ``evaluate``.
      strangers: the share of queries that may meet one, 0..1.

    Returns:
      ``OpenSet``: false positive and true positive identification rates at a distance.

    Raises:
      InputError: as of ``evaluate``; a share outside 0..1; a gallery where nobody is a
        stranger to any query.

    >>> gallery = [[1.0, 0.0], [0.0, 1.0]]
    >>> found = open_set([[0.9, 0.1]], gallery, query_ids=[1], gallery_ids=[1, 2])
    >>> round(found.max_distance, 3), found.strangers, found.found
    (1.273, 0.0, 1.0)

    Source: open-set identification, NIST's FPIR and 1 - FNIR (Grother et al., FRVT).
    """
    if not 0 <= strangers <= 1:
        raise InputError(f"strangers is {strangers}: give a share of the queries, 0..1")
    first, second = as_feature_pair(query, gallery)
    protocol = Protocol(
        *(query_ids, gallery_ids, query_cameras, gallery_cameras, None),
        *(query_copies, gallery_copies),
    )
    other, own = _nearest(first, second, protocol)
    met = np.sort(other[np.isfinite(other)])
    if not len(met):
        raise InputError(
            f"none of {len(other)} queries has a stranger among {len(protocol.kept)} "
            "gallery images: give a gallery of several identities"
        )
    most = min(int(strangers * len(met)), len(met) - 1)
    reach = float(np.nextafter(met[most], 0)) if strangers < 1 else float(met[-1])
    known = own[np.isfinite(own)]
    return OpenSet(
        max_distance=reach,
        strangers=float((met <= reach).mean()),
        found=float((known <= reach).mean()) if len(known) else 0.0,
    )


def _nearest(
    query: np.ndarray, gallery: np.ndarray, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray]:
    """Float64 [Q] each: the distance to the nearest stranger, and to the nearest match.

    Infinite where there is none.
    """
    source = Filter(query, gallery[protocol.kept])
    nearest = np.full((2, len(query)), np.inf)
    for rows in row_blocks(len(query), source.width):
        block = source.block(rows)
        for row, nearness in zip(range(rows.start, rows.stop), block, strict=True):
            matches, left_out = protocol.of(row)
            if len(matches):
                column = matches[[nearness[matches].argmin()]]
                nearest[1, row] = source.exact(row, column)[0]
            nearness[matches] = nearness[left_out] = np.inf
            column = nearness.argmin()
            if np.isfinite(nearness[column]):
                nearest[0, row] = source.exact(row, np.array([column]))[0]
    return np.sqrt(nearest[0]), np.sqrt(nearest[1])
