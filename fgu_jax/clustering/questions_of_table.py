"""Questions where clusters alone are known, and no graph: coarser, and of any tool."""

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.clustering.links import Pairs, start
from fgu_jax.clustering.questions import SHOWN, Members, Question
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_labels


def questions_of_table(
    labels: ArrayLike,
    confidence: ArrayLike,
    nearest: ArrayLike,
    *,
    most: int = 200,
    must_link: Pairs = (),
    cannot_link: Pairs = (),
) -> list[Question]:
    """Pairs to ask about, by the columns of ``clusters.csv``.

    Clusters A and B of which a share q of all images has the other as its nearest: the
    most confident image of either, with an expected change of |A||B| q / 2. An image of
    confidence p in A: it and the most confident of A, with (|A| - 1) (1 - p).

    Args:
      labels: int [N], dense in 0..C-1.
      confidence: float [N], 0..1.
      nearest: int [N], the other cluster that is most alike, -1 where there is none.
      most: questions at the most.
      must_link, cannot_link: what is answered; what follows from it is not asked.

    Returns:
      As of ``questions``; ``similarity`` is q, and p.

    Raises:
      InputError: ``most`` below 1, lengths that differ, links that contradict each
        other.

    >>> found = questions_of_table([0, 0, 1], [0.9, 0.8, 0], [1, -1, 0])
    >>> [(q.first, q.second, q.within) for q in found]
    [(0, 2, False), (0, 1, True)]
    """
    if most < 1:
        raise InputError(f"most is {most}: give 1 question or more")
    own = as_labels(labels, "labels")
    sure = np.asarray(confidence, np.float64)
    other = as_labels(nearest, "nearest", len(own))
    if sure.shape != own.shape:
        raise InputError(f"{len(own)} labels and {len(sure)} confidences: give as many")
    members = Members(own)
    size = np.bincount(own)
    ranked = [rows[np.argsort(-sure[rows], kind="stable")] for rows in members.all()]
    groups, apart = start(len(own), must_link, cannot_link)
    found = [
        *_between(own, other, size, ranked),
        *(q for rows in ranked for q in _within(rows, sure)),
    ]
    found.sort(key=lambda question: (-question.change, question[:2]))
    known = {(int(a), int(b)) for a, b in apart}
    asked: list[Question] = []
    for question in found:
        a, b = sorted(int(groups[row]) for row in question[:2])
        if a != b and (a, b) not in known and len(asked) < most:
            known.add((a, b))
            asked.append(question)
    return asked


def _between(
    own: np.ndarray, nearest: np.ndarray, size: np.ndarray, ranked: list[np.ndarray]
) -> list[Question]:
    """A question of each two clusters of which one is the nearest of an image."""
    some = nearest >= 0
    both = np.sort(np.stack([own[some], nearest[some]], axis=1), axis=1)
    pairs, votes = np.unique(both, axis=0, return_counts=True)
    share = votes / size[pairs].sum(axis=1)
    change = size[pairs].prod(axis=1) * share / 2
    found = []
    for (a, b), alike, value in zip(pairs.tolist(), share, change, strict=True):
        first, second = ranked[a].tolist(), ranked[b].tolist()
        sides = (len(first), len(second))
        others = (tuple(first[1 : 1 + SHOWN]), tuple(second[1 : 1 + SHOWN]))
        pair = (first[0], second[0])
        found.append(Question(*pair, False, sides, others, float(alike), float(value)))
    return found


def _within(rows: np.ndarray, sure: np.ndarray) -> list[Question]:
    """A question of each image of a cluster but the surest."""
    first, *rest = rows.tolist()
    others = (tuple(rest[:SHOWN]), ())
    return [
        Question(
            first,
            row,
            True,
            (len(rest), 1),
            others,
            float(sure[row]),
            float(len(rest) * (1 - sure[row])),
        )
        for row in rest
    ]
