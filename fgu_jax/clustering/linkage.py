"""Clusters of a sparse graph by average, complete and single linkage."""

import operator

import numpy as np
import scipy.sparse as sp

from fgu_jax.clustering.links import Pairs
from fgu_jax.clustering.merges import (
    MERGE,
    Tree,
    as_upper,
    tree,
    with_nothing_in_common,
)
from fgu_jax.errors import InputError


def average_linkage(
    graph: sp.sparray | sp.spmatrix,
    *,
    max_distance: float | None = None,
    num_clusters: int | None = None,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
) -> np.ndarray:
    """Clusters of average linkage on the distance 1 - similarity.

    s(A, B) is the mean similarity of the images of A to those of B, pairs that the
    graph lacks counting 0, and the most similar two clusters are merged first: equal
    to ``scipy.cluster.hierarchy.linkage(1 - dense, "average")`` without the N x N
    matrix. Equally similar pairs go by first row, then by the first row of the other;
    so do clusters with nothing in common, which are merged last, at distance 1.

    Must-linked images are one cluster from the start, and count as their images.
    Of the pairs of clusters that no cannot-link forbids, the most similar merges
    next: the result is that of one merge at a time, exactly, with links as without.

    Args:
      graph: sparse [N, N], similarities in 0..1, symmetric; the diagonal is not read.
      max_distance: merge while the distance is no more, 0..1. One of the two is given.
      num_clusters: merge until so many are left, 1..N.
      must_link: pairs of rows (i, j) that are merged before any other.
      cannot_link: pairs of rows that never end in one cluster.

    Returns:
      NumPy int32 [N], dense, numbered by first appearance.

    Raises:
      InputError: a graph that is not square, symmetric and in 0..1; both or none of
        the two given, or out of range; links that contradict each other, or that do
        not allow ``num_clusters``.

    >>> graph = sp.csr_array([[0, 0.9, 0.1], [0.9, 0, 0.1], [0.1, 0.1, 0]])
    >>> average_linkage(graph, max_distance=0.5).tolist()
    [0, 0, 1]

    Source: Sokal and Michener 1958 (UPGMA); many merges a round: Sumengen et al.,
    Scaling hierarchical agglomerative clustering to trillion-edge graphs, 2021.
    """
    return _cut(graph, "average", max_distance, num_clusters, must_link, cannot_link)


def complete_linkage(
    graph: sp.sparray | sp.spmatrix,
    *,
    max_distance: float | None = None,
    num_clusters: int | None = None,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
) -> np.ndarray:
    """Clusters of complete linkage: s(A, B) is the least similarity of two images.

    Exact on a sparse graph, as a pair that it lacks is of similarity 0: two clusters
    merge below distance 1 only if each pair of theirs is in the graph. Arguments,
    result and errors as of ``average_linkage``.

    >>> graph = sp.csr_array([[0, 0.9, 0], [0.9, 0, 0.8], [0, 0.8, 0]])
    >>> complete_linkage(graph, max_distance=0.9).tolist()
    [0, 0, 1]
    """
    return _cut(graph, "complete", max_distance, num_clusters, must_link, cannot_link)


def single_linkage(
    graph: sp.sparray | sp.spmatrix,
    *,
    max_distance: float | None = None,
    num_clusters: int | None = None,
) -> np.ndarray:
    """Clusters of single linkage: s(A, B) is the greatest similarity of two images.

    Up to a distance these are the connected parts of the graph, DBSCAN without its
    core rule: it chains. To a number, equally similar edges go by their rows. Takes
    no links; arguments, result and errors otherwise as of ``average_linkage``.

    >>> graph = sp.csr_array([[0, 0.9, 0], [0.9, 0, 0.8], [0, 0.8, 0]])
    >>> single_linkage(graph, max_distance=0.9).tolist()
    [0, 0, 0]
    """
    upper = as_upper(graph)
    count = upper.shape[0]
    check_wanted(count, max_distance, num_clusters)
    # The spanning tree of the best edges holds each merge; ranks leave no ties.
    order = np.lexsort((upper.col, upper.row, -upper.data))
    row, column = upper.row[order], upper.col[order]
    rank = np.arange(1.0, len(order) + 1)
    ranks = sp.csr_array((rank, (row, column)), (count, count))
    kept = np.sort(sp.csgraph.minimum_spanning_tree(ranks).data.astype(np.int64)) - 1
    merges = np.empty(len(kept), MERGE)
    merges["first"], merges["second"] = row[kept], column[kept]
    merges["similarity"] = upper.data[order[kept]]
    if max_distance is not None and max_distance < 1:
        merges = merges[1 - merges["similarity"] <= max_distance]
    else:
        none = np.empty((0, 2), np.int64)
        last = with_nothing_in_common(merges, np.ones(count), none)
        merges = np.concatenate([merges, last])
    found = Tree(
        np.arange(count, dtype=np.int32),
        merges["first"].astype(np.int32),
        merges["second"].astype(np.int32),
        merges["similarity"],
    )
    if num_clusters is None:
        return found.after(len(merges))
    return into(found, num_clusters)


def _cut(
    graph: sp.sparray | sp.spmatrix,
    linkage: str,
    max_distance: float | None,
    num_clusters: int | None,
    must_link: Pairs,
    cannot_link: Pairs,
) -> np.ndarray:
    count = graph.shape[0] if getattr(graph, "ndim", 0) == 2 else 0
    check_wanted(count, max_distance, num_clusters)
    far = 1.0 if max_distance is None else float(max_distance)
    found = tree(
        graph,
        linkage=linkage,
        max_distance=far,
        must_link=must_link,
        cannot_link=cannot_link,
    )
    if num_clusters is None:
        return found.after(len(found.first))
    return into(found, num_clusters)


def into(found: Tree, num_clusters: int) -> np.ndarray:
    """Int32 [N]: the clusters of a whole tree at a number of them.

    Raises:
      InputError: links do not allow that number.
    """
    most = int(found.groups.max(initial=-1)) + 1
    least = most - len(found.first)
    if num_clusters > most:
        raise InputError(
            f"num_clusters={num_clusters} but must_link leaves {most} at the most: "
            f"give {least} to {most}"
        )
    if num_clusters < least:
        raise InputError(
            f"num_clusters={num_clusters} but cannot_link keeps {least} apart: "
            f"give {least} to {most}"
        )
    return found.after(most - num_clusters)


def check_wanted(
    count: int, max_distance: float | None, num_clusters: int | None
) -> None:
    """Refuses a distance or a number that no clusters of ``count`` images have."""
    if (max_distance is None) == (num_clusters is None):
        raise InputError(
            f"max_distance={max_distance}, num_clusters={num_clusters}: give one of "
            "them"
        )
    if max_distance is not None:
        try:
            good = 0 <= max_distance <= 1
        except TypeError:
            good = False
        if not good:
            raise InputError(f"max_distance={max_distance!r}: give 0..1")
        return
    try:
        number = operator.index(num_clusters)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if not 1 <= number <= count:
        raise InputError(
            f"num_clusters={num_clusters!r} of {count} images: give a whole number, "
            f"1 to {count}"
        )
