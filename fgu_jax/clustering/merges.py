"""Agglomerative clustering of a sparse graph: exact, many merges at a time.

The tree that is found is the one of merging the most similar two clusters, again and
again. Average and complete similarity are *reducible*: s(A + B, C) is never
more than the larger of s(A, C) and s(B, C). A merge elsewhere then never breaks two
clusters up that are each other's most similar one, so all such pairs merge in one
round, and a few dozen rounds of sparse sums take the place of N - 1 merges.

Pairs of clusters are ordered by (similarity, downwards; first row of the one that
comes first; first row of the other): there are no ties, and always a pair to merge.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from fgu_jax.clustering import links
from fgu_jax.clustering.links import Pairs
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_labels

_JOIN = {"average": np.add, "complete": np.minimum}
MERGE = np.dtype([("first", "i8"), ("second", "i8"), ("similarity", "f8")])


@dataclass(frozen=True)
class Tree:
    """Merges in their order: the most similar two clusters first.

    Attributes:
      groups: int32 [N], what is together from the start (must-links), dense.
      first, second: int32 [M], rows; a merge joins the clusters of the two, whose
        first rows they are.
      similarity: float64 [M], falling, 0 where two clusters have nothing in common.
    """

    groups: np.ndarray
    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray

    def after(self, merges: int) -> np.ndarray:
        """Int32 [N]: clusters after so many merges, numbered by first appearance."""
        own = self.groups
        count = int(own.max(initial=-1)) + 1
        found = links.joined(count, own[self.first[:merges]], own[self.second[:merges]])
        return links.by_first_row(found[own]) if count else found

    def joins(self, pairs: np.ndarray) -> np.ndarray:
        """Float64 [P]: the similarity at which two rows come together.

        1 where they are together from the start, 0 where they never are.
        """
        count = int(self.groups.max(initial=-1)) + 1
        own = self.groups
        parent = np.arange(count + len(self.first))
        top = np.arange(count)  # of the group of a first row, the last merge of it
        for merge, (a, b) in enumerate(zip(self.first, self.second, strict=True)):
            a, b = own[a], own[b]
            parent[top[a]] = parent[top[b]] = top[a] = top[b] = count + merge
        found = np.zeros(len(pairs))
        for place, (i, j) in enumerate(own[pairs].tolist()):
            while i != j:  # merges are numbered in their order: the older one goes up
                i, j = (i, j) if i < j else (j, i)
                if parent[i] == i:
                    break
                i = int(parent[i])
            if i == j:
                found[place] = 1.0 if i < count else self.similarity[i - count]
        return found


def tree(
    graph: sp.sparray | sp.spmatrix,
    *,
    linkage: str = "average",
    max_distance: float = 1.0,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
    known: ArrayLike | None = None,
) -> Tree:
    """The merges of at most ``max_distance``; arguments as of ``average_linkage``.

    ``known``, int [N], is the cluster that a row is in and stays in, -1 where there is
    none: rows of one are together from the start, and two of them never merge. With
    it ``max_distance`` is below 1.

    >>> path = sp.csr_array([[0, 0.9, 0], [0.9, 0, 0.4], [0, 0.4, 0]])
    >>> found = tree(path)
    >>> found.first.tolist(), found.second.tolist(), found.similarity.tolist()
    ([0, 0], [1, 2], [0.9, 0.2])
    """
    if linkage not in _JOIN:
        raise InputError(f"linkage is {linkage!r}: choose {', '.join(_JOIN)}")
    upper = as_upper(graph)
    held = None
    if known is not None:
        if max_distance >= 1:
            raise InputError(
                f"max_distance is {max_distance} with known clusters: give less than 1"
            )
        held = as_labels(known, "known", upper.shape[0])
        must_link = np.concatenate(
            [links.as_pairs(must_link, "must_link", len(held)), links.in_one(held)]
        )
    groups, apart = links.start(upper.shape[0], must_link, cannot_link)
    owner = links.owner_of_groups(groups, held)
    first_row = np.unique(groups, return_index=True)[1].astype(np.int64)
    size = np.bincount(groups, minlength=len(first_row)).astype(np.float64)
    low, high = np.sort(groups[np.stack([upper.row, upper.col])], axis=0)
    pairs = np.ones(len(low)) if linkage == "complete" else None
    edges = _Edges(low, high, upper.data, pairs)
    edges = edges.joined_by(np.arange(len(first_row)), linkage)
    merges = _rounds(edges, size, apart, owner, linkage, max_distance)
    if max_distance >= 1:
        merges = np.concatenate([merges, with_nothing_in_common(merges, size, apart)])
    # In exact arithmetic this is the greedy order; where rounding has put a merge a
    # hair above one that it stands on, the order is a little another one, no worse.
    order = np.lexsort((merges["second"], merges["first"], -merges["similarity"]))
    merges = merges[order]
    return Tree(
        groups,
        first_row[merges["first"]].astype(np.int32),
        first_row[merges["second"]].astype(np.int32),
        merges["similarity"],
    )


@dataclass(frozen=True)
class _Edges:
    """Pairs of clusters that share an edge of the graph, sorted by (low, high)."""

    low: np.ndarray  # int [E]
    high: np.ndarray  # int [E]
    value: np.ndarray  # float64 [E], the sum (or the least) over pairs of images
    pairs: np.ndarray | None  # float64 [E], how many of them the graph has; complete

    def similarity(self, size: np.ndarray, linkage: str) -> np.ndarray:
        every = size[self.low] * size[self.high]
        if linkage == "average":
            return self.value / every
        return np.where(self.pairs == every, self.value, 0)

    def joined_by(self, cluster: np.ndarray, linkage: str) -> "_Edges":
        """Edges between ``cluster`` [C] of the clusters; inside one they are gone."""
        a, b = cluster[self.low], cluster[self.high]
        code = np.minimum(a, b) * len(cluster) + np.maximum(a, b)
        here = np.flatnonzero(a != b)
        here = here[np.argsort(code[here], kind="stable")]
        code = code[here]
        begins = np.flatnonzero(np.diff(code, prepend=-1))
        if not len(begins):
            return _Edges(begins, begins, np.empty(0), None)
        low, high = np.divmod(code[begins], len(cluster))
        value = _JOIN[linkage].reduceat(self.value[here], begins)
        pairs = self.pairs
        if pairs is not None:
            pairs = np.add.reduceat(pairs[here], begins)
        return _Edges(low, high, value, pairs)

    def only(self, keep: np.ndarray) -> "_Edges":
        pairs = None if self.pairs is None else self.pairs[keep]
        return _Edges(self.low[keep], self.high[keep], self.value[keep], pairs)


def _rounds(
    edges: _Edges,
    size: np.ndarray,
    apart: np.ndarray,
    owner: np.ndarray,
    linkage: str,
    far: float,
) -> np.ndarray:
    """Merges of clusters that share an edge, numbered as ``size`` is.

    ``owner`` is the known cluster that each holds, -1 where it holds none.
    """
    name = np.arange(len(size))  # of the clusters that are left
    done = [np.empty(0, MERGE)]
    kept_out = links.codes(apart, len(size))
    while len(edges.low):
        # Two that a link keeps apart never merge, nor does anything that holds them.
        if len(kept_out):
            code = edges.low * len(size) + edges.high
            place = np.searchsorted(kept_out, code).clip(max=len(kept_out) - 1)
            edges = edges.only(kept_out[place] != code)
        low, high = owner[edges.low], owner[edges.high]
        edges = edges.only((low == high) | (low < 0) | (high < 0))
        similarity = edges.similarity(size, linkage)
        best, mate = _most_similar(edges, similarity, len(size))
        near = (best > 0) & (1 - best <= far)
        here = np.arange(len(size))
        merging = near & (here < mate) & (mate[mate] == here)
        first = np.flatnonzero(merging)
        second = mate[first]
        merges = np.empty(len(first), MERGE)
        merges["first"], merges["second"] = name[first], name[second]
        merges["similarity"] = best[first]
        done.append(merges)

        # What has nothing near enough now never will have: it is finished.
        root = here.copy()
        root[second] = first
        left = np.flatnonzero(near & (root == here))
        number = np.full(len(size), -1)
        number[left] = np.arange(len(left))
        edges = edges.only(near[edges.low] & near[edges.high])
        size = size.copy()
        size[first] += size[second]
        owner = owner.copy()
        owner[first] = np.maximum(owner[first], owner[second])
        cluster = number[root]
        pairs = cluster[np.stack(np.divmod(kept_out, len(size)), axis=1)]
        kept_out = links.codes(pairs[(pairs >= 0).all(axis=1)], len(left))
        size, name, owner = size[left], name[left], owner[left]
        edges = edges.joined_by(cluster, linkage)
    return np.concatenate(done)


def _most_similar(
    edges: _Edges, similarity: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of each cluster the greatest similarity (0: none), and the first that has it."""
    upper = sp.csr_array((similarity, (edges.low, edges.high)), (count, count))
    both = (upper + upper.T).tocsr()
    both.sort_indices()
    degree = np.diff(both.indptr)
    some = np.flatnonzero(degree)
    best = np.zeros(count)
    best[some] = np.maximum.reduceat(both.data, both.indptr[some])
    hits = np.flatnonzero(both.data == np.repeat(best, degree))
    row = np.repeat(np.arange(count), degree)[hits]
    mate = np.zeros(count, np.int64)
    mate[row[::-1]] = both.indices[hits[::-1]]
    return best, mate


def with_nothing_in_common(
    merges: np.ndarray, size: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """The merges at distance 1: each cluster in turn takes in all that it may."""
    whole = links.joined(len(size), merges["first"], merges["second"])
    first = np.unique(whole, return_index=True)[1]
    enemies: list[set[int]] = [set() for _ in first]
    for i, j in whole[apart]:
        enemies[i].add(int(j))
        enemies[j].add(int(i))
    left = list(range(len(first)))
    found: list[tuple[int, int, float]] = []
    while left:
        taker, *others = left
        left = []
        kept_out = set(enemies[taker])
        for other in others:
            if other in kept_out:
                left.append(other)
            else:
                kept_out |= enemies[other]
                found.append((first[taker], first[other], 0.0))
    return np.array(found, MERGE)


def as_upper(graph: sp.sparray | sp.spmatrix) -> sp.coo_array:
    """The entries above the diagonal of a graph that is one."""
    if not sp.issparse(graph) or graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        shape = getattr(graph, "shape", None)
        raise InputError(f"graph of shape {shape}: give a sparse matrix [N, N]")
    whole = sp.csr_array(graph, dtype=np.float64)
    if not np.isfinite(whole.data).all() or (
        whole.nnz and not (whole.data.min() >= 0 and whole.data.max() <= 1)
    ):
        raise InputError("graph holds numbers outside 0..1: give similarities")
    whole.sum_duplicates()
    upper = sp.triu(whole, 1).tocsr()
    lower = sp.tril(whole, -1).T.tocsr()
    for part in (upper, lower):
        part.eliminate_zeros()
        part.sort_indices()
    if not (
        np.array_equal(upper.indptr, lower.indptr)
        and np.array_equal(upper.indices, lower.indices)
        and np.array_equal(upper.data, lower.data)
    ):
        raise InputError("graph is not symmetric: give graph.maximum(graph.T)")
    return upper.tocoo()
