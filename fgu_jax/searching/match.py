"""The ranking of a gallery for each query."""

import dataclasses
from pathlib import Path

import numpy as np

from fgu_jax import retrieval
from fgu_jax.errors import InputError
from fgu_jax.inference.embedder import Embedder
from fgu_jax.progress import Progress
from fgu_jax.searching.features import (
    Embedded,
    FeatureCache,
    embed_files,
    find_images,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Matches:
    """The nearest gallery images of each query.

    Attributes:
      query, gallery: images and features; those that cannot be read are named there.
      indices: int64 [Q, k], gallery rows, nearest first.
      distances: float32 [Q, k], Euclidean, of unit features: 0..2.
      max_distance: beyond it nothing is a match; ``None``: no limit.
    """

    query: Embedded
    gallery: Embedded
    indices: np.ndarray
    distances: np.ndarray
    max_distance: float | None = None

    def of(self, query: int) -> list[tuple[int, float]]:
        """Gallery rows and distances of a query's matches, nearest first."""
        rows, far = self.indices[query], self.distances[query]
        if self.max_distance is not None:
            rows, far = rows[far <= self.max_distance], far[far <= self.max_distance]
        return list(zip(rows.tolist(), far.tolist(), strict=True))

    @property
    def num_without(self) -> int:
        """Queries that nothing matches but their own file."""
        return sum(
            all(self.same_file(i, row) for row, _ in self.of(i))
            for i in range(len(self.query.names))
        )

    def same_file(self, query: int, row: int) -> bool:
        """Whether a gallery image is the query's own file, or a copy of it."""
        return self.query.digests[query] == self.gallery.digests[row]


def search(
    network: Embedder,
    query: Path,
    gallery: Path,
    *,
    top: int = 20,
    max_distance: float | None = None,
    cache: FeatureCache,
    progress: Progress | None = None,
) -> Matches:
    """Ranks a folder of images for an image, or for each of a folder.

    Images that cannot be read are left out and named in the result.

    Args:
      network: the trained network.
      query: an image, or a folder of them.
      gallery: a folder of images.
      top: how many matches of each query; all where the gallery has fewer.
      max_distance: beyond it nothing is a match, 0..2; ``None``: no limit.
      cache: features known already.
      progress: called with images done, how many there are, and what is done.

    Raises:
      InputError: a path that does not exist, no image that can be read, ``top`` < 1,
        a distance outside 0..2.
    """
    if top < 1:
        raise InputError(f"top is {top}: give 1 or more")
    if max_distance is not None and not 0 <= max_distance <= 2:
        raise InputError(
            f"max_distance is {max_distance}: give 0 to 2, a distance of unit features"
        )
    files = find_images(query, "query")
    if gallery.is_file():
        raise InputError(f"gallery {str(gallery)!r} is a file: name a folder")
    rows = find_images(gallery, "gallery")
    asked = embed_files(*files, network, cache, what="query", progress=progress)
    found = embed_files(*rows, network, cache, what="gallery", progress=progress)
    indices, distances = retrieval.search(
        asked.features,
        found.features,
        k=min(top, len(found.names)),
        progress=progress,
    )
    return Matches(
        query=asked,
        gallery=found,
        indices=indices,
        distances=distances,
        max_distance=max_distance,
    )
