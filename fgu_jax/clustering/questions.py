"""Which pairs of images to ask a person about: those whose answer changes most."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from fgu_jax.clustering.chance import Chance, fitted
from fgu_jax.clustering.confidence import alike
from fgu_jax.clustering.links import Pairs, as_pairs, start
from fgu_jax.clustering.merges import tree
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_labels

_LEARNT = 5000  # answers that the chance is learnt from
_WHOLE = np.nextafter(1, 0)  # a distance: nothing in common is no merge
SHOWN = 4  # further images of a side


class Question(NamedTuple):
    """One pair to ask about.

    Attributes:
      first, second: rows, the most typical image of either side.
      within: whether the two sides are one cluster, which a no divides; otherwise
        they are two, which a yes joins.
      sides: how many images either side has.
      others: a few further images of either side, the most typical first.
      similarity: the mean of the two sides.
      change: pairs of images that the answer is expected to change.
    """

    first: int
    second: int
    within: bool
    sides: tuple[int, int]
    others: tuple[tuple[int, ...], tuple[int, ...]]
    similarity: float
    change: float


def questions(
    similarities: sp.csr_array,
    labels: ArrayLike,
    *,
    most: int = 200,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
) -> list[Question]:
    """Pairs of images whose answer would change most, the most first.

    Two clusters A and B that nearly merged are one question: a yes would put |A||B|
    pairs together. A merge of A and B within a cluster, one of its last, is one too: a
    no would take |A||B| pairs apart. With s the mean similarity of the two sides and
    p(s) the chance that they are one individual (``Chance``, learnt from the answers
    so far), the expected change is |A||B| p(s) between clusters and |A||B| (1 - p(s))
    within one. Asked for are the images that are most like the others of their side.

    Args:
      similarities: [N, N] of ``neighbour_graph`` (``Graph.similarities``).
      labels: int [N], dense in 0..C-1; of any origin.
      most: questions at the most.
      must_link, cannot_link: what is answered; what follows from it is not asked.

    Returns:
      At most ``most`` questions, no pair twice, by falling ``change``; ties by rows.

    Raises:
      InputError: ``most`` below 1; labels that are not dense; links that contradict
        each other.

    >>> graph = sp.csr_array([[0, 0.9, 0.2], [0.9, 0, 0.2], [0.2, 0.2, 0]])
    >>> [(q.first, q.second, q.within) for q in questions(graph, [0, 0, 1])]
    [(0, 2, False), (0, 1, True)]
    """
    if most < 1:
        raise InputError(f"most is {most}: give 1 question or more")
    count = similarities.shape[0]
    own = as_labels(labels, "labels", count)
    groups, apart = start(count, must_link, cannot_link)
    ask = _Asking(similarities, most, groups, {(int(a), int(b)) for a, b in apart})
    chance = _learnt(similarities, must_link, cannot_link)
    between, similarity = alike(similarities, own, most=max(1, similarities.nnz))
    members = Members(own)
    size = np.bincount(own)
    change = size[between].prod(axis=1) * chance(similarity)
    merges, halves = _merges_within(similarities, own)
    change_within = merges.sides.prod(axis=1) * (1 - chance(merges.similarity))
    both = np.concatenate([change, change_within])
    for at in np.argsort(-both, kind="stable").tolist():
        if ask.full:
            break
        if at < len(change):
            sides = members(between[at, 0]), members(between[at, 1])
            ask(sides, False, similarity[at], both[at])
        else:
            merge = at - len(change)
            ask(halves(merge), True, merges.similarity[merge], both[at])
    return ask.found


def _learnt(similarities: sp.csr_array, must_link: Pairs, cannot_link: Pairs) -> Chance:
    """The chance by the answers, and where their images come together without them."""
    count = similarities.shape[0]
    yes = as_pairs(must_link, "must_link", count)[:_LEARNT]
    no = as_pairs(cannot_link, "cannot_link", count)[:_LEARNT]
    if not len(yes) + len(no):
        return Chance()
    together = tree(similarities, max_distance=_WHOLE).joins(np.concatenate([yes, no]))
    return fitted(together, np.arange(len(together)) < len(yes))


class _Asking:
    """The questions so far: most typical images, and nothing that is known."""

    def __init__(
        self,
        similarities: sp.csr_array,
        most: int,
        groups: np.ndarray,
        apart: set[tuple[int, int]],
    ):
        self.found: list[Question] = []
        self._similarities = similarities
        self._most = most
        self._groups = groups
        self._known = apart

    @property
    def full(self) -> bool:
        return len(self.found) >= self._most

    def __call__(
        self,
        sides: tuple[np.ndarray, np.ndarray],
        within: bool,
        similarity: float,
        change: float,
    ) -> None:
        first, second = (self._typical(rows) for rows in sides)
        a, b = sorted(int(self._groups[rows[0]]) for rows in (first, second))
        if a == b or (a, b) in self._known:
            return
        self._known.add((a, b))
        self.found.append(
            Question(
                int(first[0]),
                int(second[0]),
                within,
                (len(sides[0]), len(sides[1])),
                (_rest(first), _rest(second)),
                float(similarity),
                float(change),
            )
        )

    def _typical(self, rows: np.ndarray) -> np.ndarray:
        """The first few rows of a side by their similarity to all of it."""
        return typical(self._similarities, rows, 1 + SHOWN)


def typical(similarities: sp.csr_array, rows: np.ndarray, most: int = 1) -> np.ndarray:
    """Of some rows those that are most similar to all of them; ties by row.

    >>> graph = sp.csr_array([[0, 0.2, 0], [0.2, 0, 0.9], [0, 0.9, 0]])
    >>> typical(graph, np.arange(3), 2).tolist()
    [1, 2]
    """
    here = similarities[rows][:, rows]
    like = np.asarray(here.sum(axis=1)).ravel()
    return rows[np.lexsort((rows, -like))[:most]]


def _rest(rows: np.ndarray) -> tuple[int, ...]:
    return tuple(rows[1:].tolist())


class Members:
    """The rows of a cluster, by its number."""

    def __init__(self, labels: np.ndarray):
        self._order = np.argsort(labels, kind="stable")
        self._begins = np.concatenate([[0], np.cumsum(np.bincount(labels))])

    def __call__(self, cluster: int) -> np.ndarray:
        return self._order[self._begins[cluster] : self._begins[cluster + 1]]

    def all(self) -> list[np.ndarray]:
        """The rows of each cluster."""
        return [self(cluster) for cluster in range(len(self._begins) - 1)]


@dataclass(frozen=True)
class _Merges:
    similarity: np.ndarray  # float64 [M]
    sides: np.ndarray  # int64 [M, 2], images of the two that merge


def _merges_within(
    similarities: sp.csr_array, labels: np.ndarray
) -> tuple[_Merges, Callable[[int], tuple[np.ndarray, np.ndarray]]]:
    """The merges that make the clusters, and the rows of the two sides of one."""
    edges = similarities.tocoo()
    inside = labels[edges.row] == labels[edges.col]
    graph = sp.csr_array(
        (edges.data[inside], (edges.row[inside], edges.col[inside])), edges.shape
    )
    found = tree(graph, max_distance=_WHOLE)
    # Nodes: the images, then a merge each; `top` is the node that holds a first row.
    count = len(labels)
    top = np.arange(count)
    size = np.ones(count + len(found.first), np.int64)
    parts = np.empty((len(found.first), 2), np.int64)
    for merge, (a, b) in enumerate(zip(found.first, found.second, strict=True)):
        parts[merge] = top[a], top[b]
        size[count + merge] = size[parts[merge]].sum()
        top[a] = top[b] = count + merge

    def rows(node: int) -> np.ndarray:
        left, images = [node], []
        while left:
            node = left.pop()
            if node < count:
                images.append(node)
            else:
                left += parts[node - count].tolist()
        return np.sort(np.array(images))

    def halves(merge: int) -> tuple[np.ndarray, np.ndarray]:
        a, b = parts[merge].tolist()
        return rows(a), rows(b)

    return _Merges(found.similarity, size[parts]), halves
