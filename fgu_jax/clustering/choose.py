"""Clusters of a folder that nobody trained on: how many, and where to stop."""

import dataclasses
import math

import numpy as np

from fgu_jax.clustering.quality import silhouette
from fgu_jax.errors import InputError
from fgu_jax.merging import merge_with_heights
from fgu_jax.progress import Progress

_CANDIDATES = 16  # numbers of clusters that are tried first, evenly in their logarithm
_CLOSER = 8  # and then, between the neighbours of the best one


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Clusters of N images.

    Attributes:
      labels: int32 [N], dense, numbered by first appearance.
      tried: (number of clusters, mean silhouette) of each number tried, ascending;
        empty where the number or the distance was given.
    """

    labels: np.ndarray
    tried: tuple[tuple[int, float], ...] = ()

    @property
    def num_clusters(self) -> int:
        """C."""
        return int(self.labels.max()) + 1


def group(
    features: np.ndarray,
    *,
    number: int | None = None,
    distance: float | None = None,
    criterion: str = "average",
    progress: Progress | None = None,
) -> Grouping:
    """``into_number``, ``within_distance``, or neither given, the silhouette's peak."""
    check_wanted(number, distance)
    if number is not None:
        return into_number(features, number, criterion=criterion, progress=progress)
    if distance is not None:
        return within_distance(
            features, distance, criterion=criterion, progress=progress
        )
    return where_silhouette_peaks(features, criterion=criterion, progress=progress)


def check_wanted(number: int | None, distance: float | None) -> None:
    """Refuses, before any image is read, what no folder can be grouped to.

    Raises:
      InputError: fewer than 2 clusters; a distance that is negative or not finite;
        both given.
    """
    if number is not None and distance is not None:
        raise InputError(f"clusters is {number}, distance {distance}: give one of them")
    if number is not None and number < 2:
        raise InputError(f"clusters is {number}: give 2 or more")
    if distance is not None and not (math.isfinite(distance) and distance >= 0):
        raise InputError(f"distance is {distance}: give 0 or more (unit features: 0-2)")


def into_number(
    features: np.ndarray,
    number: int,
    *,
    criterion: str = "average",
    progress: Progress | None = None,
) -> Grouping:
    """Merges the closest clusters, eq (5), until ``number`` are left.

    Args:
      features: float [N, D].
      number: 2..N.
      criterion: the distance between clusters, as in ``merging``.
      progress: called with (done, total, what).

    Raises:
      InputError: fewer than 2 clusters, or more than there are images.

    >>> into_number(np.array([[0.0], [1.0], [5.0], [7.0]]), 3).labels.tolist()
    [0, 0, 1, 2]
    """
    check_wanted(number, None)
    count = _count(features)
    if number > count:
        raise InputError(
            f"clusters is {number} but there are {count} images: give 2 to {count}"
        )
    labels, _ = merge_with_heights(
        features,
        np.arange(count),
        count - number,
        criterion=criterion,
        progress=progress,
    )
    return Grouping(labels)


def within_distance(
    features: np.ndarray,
    distance: float,
    *,
    criterion: str = "average",
    progress: Progress | None = None,
) -> Grouping:
    """Merges the closest clusters while they are no further apart than ``distance``.

    Args:
      features: float [N, D].
      distance: Euclidean, by ``criterion``; of unit features 0..2.
      criterion, progress: as in ``into_number``.

    Returns:
      ``Grouping``; never fewer than 2 clusters, however large the distance.

    Raises:
      InputError: a distance that is negative or not finite.

    >>> points = np.array([[0.0], [1.0], [5.0], [7.0]])
    >>> within_distance(points, 1.5).labels.tolist()
    [0, 0, 1, 2]
    """
    check_wanted(None, distance)
    count = _count(features)
    alone = np.arange(count, dtype=np.int32)
    _, heights = merge_with_heights(
        features, alone, count - 2, criterion=criterion, progress=progress
    )
    # centroid and median may step back below the distance later: the first one above
    # it is where merging stops.
    above = np.flatnonzero(heights > distance)
    merges = int(above[0]) if len(above) else len(heights)
    return into_number(features, count - merges, criterion=criterion, progress=progress)


def where_silhouette_peaks(
    features: np.ndarray,
    *,
    criterion: str = "average",
    progress: Progress | None = None,
) -> Grouping:
    """Merges as far as the mean silhouette of the images is greatest; needs no label.

    Numbers of clusters from N / 2 down to 2 are tried, evenly in their logarithm, then
    those around the best one; of two as good, the larger number. Each is cut further
    from the one before, and judged on a sample of at most 2,000 images.

    Args:
      features: float [N, D].
      criterion, progress: as in ``into_number``.

    Raises:
      InputError: fewer than 2 images.

    >>> points = np.array([[0.0], [1.0], [20.0], [21.0], [60.0], [61.0]])
    >>> where_silhouette_peaks(points).num_clusters
    3

    Source: Rousseeuw, J. Comput. Appl. Math. 20, 1987, section 4.
    """
    count = _count(features)
    if count < 4:  # nothing to choose from
        return into_number(features, 2, criterion=criterion)
    coarse = _between(2, count // 2, _CANDIDATES)
    found = _try(features, coarse, None, criterion, progress)
    best = max(found, key=lambda number: (found[number][0], number))
    place = coarse.index(best)
    low = coarse[max(place - 1, 0)]
    high = coarse[min(place + 1, len(coarse) - 1)]
    closer = [n for n in _between(low, high, _CLOSER) if n not in found]
    found |= _try(features, closer, found[high][1], criterion, progress)
    best = max(found, key=lambda number: (found[number][0], number))
    tried = tuple((number, found[number][0]) for number in sorted(found))
    return Grouping(found[best][1], tried)


def _try(
    features: np.ndarray,
    numbers: list[int],
    start: np.ndarray | None,
    criterion: str,
    progress: Progress | None,
) -> dict[int, tuple[float, np.ndarray]]:
    """Silhouette and labels at each number, each cut from the one before."""
    labels = np.arange(len(features)) if start is None else start
    found = {}
    for done, number in enumerate(sorted(numbers, reverse=True), 1):
        merges = int(labels.max()) + 1 - number
        labels, _ = merge_with_heights(features, labels, merges, criterion=criterion)
        found[number] = (silhouette(features, labels), labels)
        if progress:
            progress(done, len(numbers), "numbers of clusters")
    return found


def _between(low: int, high: int, count: int) -> list[int]:
    numbers = np.round(np.geomspace(low, high, count)).astype(int)
    return np.unique(numbers).tolist()


def _count(features: np.ndarray) -> int:
    if len(features) < 2:
        raise InputError(f"{len(features)} images: at least 2 are needed to cluster")
    return len(features)
