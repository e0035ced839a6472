"""Clusters of features, told nothing: the scale comes from the data."""

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.clustering.answered import kept_apart, with_their_clusters
from fgu_jax.clustering.confidence import Standing, standing
from fgu_jax.clustering.copies import copies, links_of_copies
from fgu_jax.clustering.graph import Graph, compared, graph_of, graph_of_rows
from fgu_jax.clustering.known import put_beside
from fgu_jax.clustering.linkage import check_wanted, into
from fgu_jax.clustering.links import (
    Pairs,
    as_pairs,
    in_one,
    owner_of_groups,
    start,
)
from fgu_jax.clustering.merges import Tree, tree
from fgu_jax.clustering.metric import learnt
from fgu_jax.clustering.tracks import pairs_of_tracks, track_groups, track_means
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_labels

MAX_DISTANCE = 0.73
"""Two clusters whose images share less than about a quarter of their neighbours on
the mean are not merged."""
_LESSONS = 2  # clusters by what answers teach teach in turn
_WIDEST = 2  # times as many neighbours as before the lesson are believed
_FEWEST, _GUESS, _MOST = 0.9, 0.8, 0.5  # distances whose numbers are told as well


class Individuals(NamedTuple):
    """How many individuals there may be.

    Attributes:
      number: the best guess.
      low, high: an interval; docs/clustering.md says how often the truth was in it.
    """

    number: int
    low: int
    high: int


@dataclass(frozen=True)
class Clustering:
    """Clusters, and what they were made from.

    Attributes:
      labels: int32 [N], dense, numbered by first appearance.
      graph: the graph that was clustered, with the k1 and k2 that were used; of
        tracks where there are some.
      merges: the tree, up to distance 0.9 or further; of tracks where there are some.
      tracks: int32 [N], the track of each image, dense; None where each is its own.
    """

    labels: np.ndarray
    graph: Graph
    merges: Tree
    tracks: np.ndarray | None = None

    @property
    def num_clusters(self) -> int:
        """C."""
        return int(self.labels.max(initial=-1)) + 1

    @functools.cached_property
    def standing(self) -> Standing:
        """How each image, or its track, stands to its cluster and to the others."""
        graph = self.graph
        step = 0.0 if graph.alike is None else graph.step
        if self.tracks is None:
            return standing(graph.similarities, self.labels, step=step)
        first = np.unique(self.tracks, return_index=True)[1]
        found = standing(graph.similarities, self.labels[first], step=step)
        return Standing(*(of[self.tracks] for of in vars(found).values()))

    @property
    def individuals(self) -> Individuals:
        """How many individuals there may be, whatever number of clusters was asked for.

        The clusters at distance 0.8; at 0.9, or N over the pictures an individual has
        where the neighbours show them and that is less; and at 0.5.
        """
        most, guess, fewest = (
            self._clusters_at(distance) for distance in (_MOST, _GUESS, _FEWEST)
        )
        if self.graph.alike is not None:
            count = self.graph.similarities.shape[0]
            fewest = min(fewest, round(count / (self.graph.alike + 1)))
        return Individuals(guess, max(1, fewest), most)

    def _clusters_at(self, distance: float) -> int:
        merges = int(np.count_nonzero(1 - self.merges.similarity <= distance))
        return int(self.merges.groups.max(initial=-1)) + 1 - merges


def cluster(
    features: ArrayLike,
    *,
    max_distance: float | None = None,
    num_clusters: int | None = None,
    cameras: ArrayLike | None = None,
    tracks: ArrayLike | None = None,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
    known: ArrayLike | None = None,
) -> np.ndarray:
    """Clusters of images: average linkage on ``neighbour_graph``, both at defaults.

    Images of the very same features are in one cluster, unless a cannot-link, a known
    cluster or ``num_clusters`` keeps them apart.

    Args:
      features: float [N, D], of any length and from any network.
      max_distance: merge while the mean Jaccard distance is no more, 0..1; 0.73 where
        neither it nor ``num_clusters`` is given.
      num_clusters: merge until so many are left, 1..N.
      cameras: int [N]; features are centred by camera before they are compared.
      tracks: int [N], equal numbers from 1 for images of one track, 0 for none: they
        are one individual, and their mean is clustered in their place.
      must_link: pairs of rows that end in one cluster, and with them all of the two
        clusters that they would be in; the two alone, where a cannot-link keeps others
        of these clusters apart. What they teach of the features is used (``learnt``).
      cannot_link: pairs of rows that never end in one cluster.
      known: int [N], clusters that stay as they are, -1 for new images: these are put
        into them or into new ones.

    Returns:
      NumPy int32 [N], dense, numbered by first appearance.

    Raises:
      InputError: NaN, a zero row, cameras of another length, a distance or a number
        out of range, links that contradict each other.

    >>> around = np.repeat(np.eye(3), 4, axis=0) + 0.1 * np.eye(12, 3)
    >>> cluster(around).tolist()
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    found = clustering(
        features,
        max_distance=max_distance,
        num_clusters=num_clusters,
        cameras=cameras,
        tracks=tracks,
        must_link=must_link,
        cannot_link=cannot_link,
        known=known,
    )
    return found.labels


def clustering(
    features: ArrayLike,
    *,
    max_distance: float | None = None,
    num_clusters: int | None = None,
    k1: int | None = None,
    k2: int | None = None,
    cameras: ArrayLike | None = None,
    tracks: ArrayLike | None = None,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
    known: ArrayLike | None = None,
) -> Clustering:
    """``cluster``, with the graph, the tree and the scale that it was made at.

    ``k1`` and ``k2`` are those of ``neighbour_graph``; by the data where not given.
    """
    if tracks is not None:
        unit = compared(features, cameras)
        groups = track_groups(tracks, len(unit))
        must = pairs_of_tracks(must_link, groups, "must_link", apart=False)
        cannot = pairs_of_tracks(cannot_link, groups, "cannot_link", apart=True)
        known_of_groups = None
        if known is not None:
            held = as_labels(known, "known", len(unit))
            must = np.concatenate([must, groups[in_one(held)].astype(np.int64)])
            known_of_groups = owner_of_groups(groups, held)
        made = clustering(
            track_means(unit, groups),
            max_distance=max_distance,
            num_clusters=num_clusters,
            k1=k1,
            k2=k2,
            must_link=must,
            cannot_link=cannot,
            known=known_of_groups,
        )
        return replace(made, labels=made.labels[groups], tracks=groups)
    if max_distance is None and num_clusters is None:
        max_distance = MAX_DISTANCE
    unit = compared(features, cameras)
    same = copies(unit)
    graph = graph_of_rows(unit, k1=k1, k2=k2)
    if graph.rest is not None:
        unit = graph.rest
    count = len(unit)
    check_wanted(count, max_distance, num_clusters)
    must = as_pairs(must_link, "must_link", count)
    cannot = as_pairs(cannot_link, "cannot_link", count)
    if known is not None:
        return _beside_known(unit, graph, max_distance, (must, cannot), known, same)
    of_graph = functools.partial(
        _of_graph, max_distance, num_clusters, (must, cannot), same
    )
    made = of_graph(graph)
    # What copies have in common teaches nothing: answers alone do.
    answers = must[must[:, 0] != must[:, 1]]
    for _ in range(_LESSONS if len(answers) else 0):
        taught = _taught(graph, learnt(unit, made.labels, answers), k1, k2)
        made = of_graph(taught)
    return made


def _taught(
    graph: Graph, features: np.ndarray, k1: int | None, k2: int | None
) -> Graph:
    """The graph of what answers have taught, at the first one's scale or near it.

    A few answers about features that say little can leave so little of them that all
    images look alike: the scale that is then seen is not the data's.
    """
    found = graph_of(features, k1=k1, k2=k2)
    if found.k1 <= _WIDEST * graph.k1:
        return found
    return graph_of(features, k1=graph.k1, k2=graph.k2)


def _beside_known(
    unit: np.ndarray,
    graph: Graph,
    max_distance: float | None,
    links: tuple[np.ndarray, np.ndarray],
    known: ArrayLike,
    same: np.ndarray,
) -> Clustering:
    held = as_labels(known, "known", len(unit))
    must, cannot = links
    must = np.concatenate([must, links_of_copies(same, must, cannot, held)])
    if max_distance is None:
        raise InputError("num_clusters with known clusters: give max_distance")
    found = tree(
        graph.similarities,
        max_distance=max(max_distance, _FEWEST),
        must_link=must,
        cannot_link=cannot,
        known=held,
    )
    cut = _up_to(found, max_distance)
    labels = put_beside(unit, graph.similarities, cut, held, (must, cannot))
    return Clustering(labels, graph, found)


def _of_graph(
    max_distance: float | None,
    num_clusters: int | None,
    links: tuple[np.ndarray, np.ndarray],
    same: np.ndarray,
    graph: Graph,
) -> Clustering:
    must, cannot = _spread(graph, max_distance, *links), links[1]
    far = 1.0 if max_distance is None else max(max_distance, _FEWEST)
    grown = functools.partial(
        tree, graph.similarities, max_distance=far, cannot_link=cannot
    )
    together = links_of_copies(same, must, cannot)
    found = grown(must_link=np.concatenate([must, together]))
    if num_clusters is None:
        return Clustering(_up_to(found, max_distance), graph, found)
    most = int(found.groups.max(initial=-1)) + 1
    if len(together) and not most - len(found.first) <= num_clusters <= most:
        found = grown(must_link=must)  # more, say, than there are different images
    return Clustering(into(found, num_clusters), graph, found)


def _spread(
    graph: Graph, max_distance: float | None, must: np.ndarray, cannot: np.ndarray
) -> np.ndarray:
    """The must-links, and those that take the whole clusters along.

    In the linkage an image that is must-linked takes along nothing of its own cluster:
    the mean with the other's images would only drive its own away. To a number of
    clusters the links are those of the images alone.
    """
    if max_distance is None or not len(must):
        return must
    groups, apart = start(graph.similarities.shape[0], must, cannot)
    named = np.unique(np.concatenate([must, cannot]))
    all_apart = kept_apart(groups, apart, named)
    first = tree(graph.similarities, max_distance=max_distance, cannot_link=all_apart)
    return with_their_clusters(_up_to(first, max_distance), must, all_apart)


def _up_to(found: Tree, max_distance: float | None) -> np.ndarray:
    """Int32 [N]: the clusters of a tree at a distance."""
    return found.after(int(np.count_nonzero(1 - found.similarity <= max_distance)))
