"""Whom a query may meet, and whom it should find."""

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.retrieval.inputs import as_labels

JUNK = -1  # identity of gallery images that count neither as right nor as wrong


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
    ) -> None:
        if (query_cameras is None) != (gallery_cameras is None):
            given, other = "query_cameras", "gallery_cameras"
            if query_cameras is None:
                given, other = other, given
            raise InputError(f"{given} given and {other} not: give both or neither")
        query = as_labels(query_ids, "query_ids")
        gallery = as_labels(gallery_ids, "gallery_ids")
        self.queries, self.width = queries, width = len(query), len(gallery)
        self.kept = np.flatnonzero(gallery != JUNK)
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

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns of the matches of a query, and of what it does not meet."""
        same = self._by_identity[self._start[query] : self._stop[query]]
        met = np.ones(len(same), bool)
        if self._cameras is not None:
            met = self._cameras[1][same] != self._cameras[0][query]
        own = self._own[query]
        if own < 0:
            return same[met], same[~met]
        met &= same != own
        return same[met], np.append(same[~met], own)
