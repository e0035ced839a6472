"""Queries and gallery by track: a track is one entry, and its feature the mean."""

from collections.abc import Sequence

import numpy as np

from fgu_jax.clustering.tracks import track_groups, track_means
from fgu_jax.data import Labels
from fgu_jax.errors import InputError


class ByTrack:
    """Tracks of queries and of the gallery.

    A track in both, as where queries are chosen of the gallery, is the mean of all its
    images in both. Without cameras a query is not compared with its own track; with
    them, as ever, with nothing of its individual and camera. An image of no track is
    one of its own.

    Attributes:
      labels: of the query's tracks and of the gallery's.

    Args:
      names: of the images of the two splits.
      labels: of the two splits.

    Raises:
      InputError: no track is known.
    """

    def __init__(
        self,
        names: tuple[Sequence[str], Sequence[str]],
        labels: tuple[Labels, Labels],
    ):
        tracks = [of.tracks for of in labels]
        if tracks[0] is None or tracks[1] is None:
            raise InputError(
                "by track, but no track is known: give a --pattern with {track}, or a "
                "table with a column track"
            )
        # Of all images once; one that is in both splits is taken from the gallery.
        row_of = {name: row for row, name in enumerate(names[1])}
        alone = [row for row, name in enumerate(names[0]) if name not in row_of]
        first = len(names[1])
        row_of |= {names[0][row]: first + k for k, row in enumerate(alone)}
        self._alone = np.array(alone, np.int64)
        every = np.concatenate([tracks[1], tracks[0][self._alone]])
        self._groups = track_groups(every, len(every))
        rows = [np.array([row_of[name] for name in of], np.int64) for of in names]
        found = [self._groups[of] for of in rows]
        first_rows = [np.sort(np.unique(of, return_index=True)[1]) for of in found]
        self._tracks = [of[at] for of, at in zip(found, first_rows, strict=True)]
        no_cameras = labels[1].cameras is None or labels[1].own_cameras
        query, gallery = (
            Labels(
                identities=of.identities[at],
                cameras=own if no_cameras or of.cameras is None else of.cameras[at],
                own_cameras=no_cameras,
            )
            for of, at, own in zip(labels, first_rows, self._tracks, strict=True)
        )
        self.labels = query, gallery

    def __call__(
        self, query: np.ndarray, gallery: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Unit features of tracks, float32 [Q, F] and [G, F], of those of images."""
        every = np.concatenate([gallery, query[self._alone]])
        means = track_means(every, self._groups)
        return means[self._tracks[0]], means[self._tracks[1]]
