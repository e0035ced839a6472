"""Clusters and what to ask about them, from features, from a table, or from both."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from fgu_jax import clustering
from fgu_jax.clustering import Clustering, Question
from fgu_jax.clustering.cameras import centred
from fgu_jax.clustering.graph import unit_features
from fgu_jax.clustering.links import Pairs, as_pairs, by_first_row
from fgu_jax.clustering.questions import Members, typical
from fgu_jax.clustering.tracks import pairs_of_tracks, track_groups, track_means
from fgu_jax.errors import InputError
from fgu_jax.messages import short
from fgu_jax.runs.answers import Answers
from fgu_jax.runs.clusters import Table

_ALIKE = 4  # of each cluster: the others that the page shows beside it


class Asked(NamedTuple):
    """What a page is made of.

    Attributes:
      labels: int32 [N], clusters, dense.
      questions: the first counts most.
      typical: int64 [C], an image that stands for each cluster.
      alike: [C], for each cluster the others that are most alike.
      made: the clusters, where they were made now.
    """

    labels: np.ndarray
    questions: list[Question]
    typical: np.ndarray
    alike: list[list[int]]
    made: Clustering | None = None


def asked_by_features(
    features: np.ndarray,
    answers: Answers,
    *,
    most: int,
    table: Table | None = None,
    max_distance: float | None = None,
    cameras: np.ndarray | None = None,
    tracks: np.ndarray | None = None,
    apart: Pairs = (),
) -> Asked:
    """Questions by the graph of features, about clusters of it or of a table.

    Args:
      features: float [N, D].
      answers: those given so far.
      most: questions at the most.
      table: row by row as the features; ``None``: clusters are made, by the answers.
      max_distance, cameras, tracks: as of ``clustering.clustering``; of tracks as
        ``cluster.py`` clusters them, and no question is within one.
      apart: further pairs of rows that are of two individuals.

    Raises:
      InputError: as of ``clustering.clustering`` and ``questions``.
    """
    count = len(features)
    must = as_pairs(answers.must_link, "answers", count)
    cannot = np.concatenate([answers.cannot_link, as_pairs(apart, "apart", count)])
    if tracks is not None:
        unit = unit_features(features)
        if cameras is not None:
            unit = centred(unit, cameras)
        groups = track_groups(tracks, count)
        first = np.unique(groups, return_index=True)[1]
        of_tracks = _asked(
            track_means(unit, groups),
            pairs_of_tracks(must, groups, "answers", apart=False),
            pairs_of_tracks(cannot, groups, "answers", apart=True),
            most=most,
            labels=None if table is None else table.clusters[first],
            max_distance=max_distance,
        )
        return _of_images(of_tracks, groups, first)
    return _asked(
        features,
        must,
        cannot,
        most=most,
        labels=None if table is None else table.clusters,
        max_distance=max_distance,
        cameras=cameras,
    )


def _of_images(asked: Asked, groups: np.ndarray, first: np.ndarray) -> Asked:
    """What was asked of tracks, of their first images; how many sides have are tracks.

    Args:
      asked: its rows are tracks.
      groups: int [N], the track of each image.
      first: int [T], its first image.
    """
    questions = []
    for q in asked.questions:
        here, there = (tuple(first[list(side)].tolist()) for side in q.others)
        a, b = int(first[q.first]), int(first[q.second])
        questions.append(q._replace(first=a, second=b, others=(here, there)))
    made = asked.made
    if made is not None:
        made = replace(made, labels=made.labels[groups], tracks=groups)
    return Asked(
        asked.labels[groups], questions, first[asked.typical], asked.alike, made
    )


def _asked(
    features: np.ndarray,
    must: np.ndarray,
    cannot: np.ndarray,
    *,
    most: int,
    labels: np.ndarray | None,
    max_distance: float | None,
    cameras: np.ndarray | None = None,
) -> Asked:
    made = None
    if labels is None:
        made = clustering.clustering(
            features,
            max_distance=max_distance,
            cameras=cameras,
            must_link=must,
            cannot_link=cannot,
        )
        labels, graph = made.labels, made.graph.similarities
    else:
        graph = clustering.neighbour_graph(features, cameras=cameras)
    questions = clustering.questions(
        graph, labels, most=most, must_link=must, cannot_link=cannot
    )
    middle = [int(typical(graph, rows)[0]) for rows in Members(labels).all()]
    return Asked(labels, questions, np.array(middle), _alike(graph, labels), made)


def asked_by_table(table: Table, answers: Answers, *, most: int) -> Asked:
    """Questions by confidence and nearest cluster alone."""
    labels, sure, nearest = table.clusters, table.confidence, table.nearest
    questions = clustering.questions_of_table(
        labels,
        sure,
        nearest,
        most=most,
        must_link=answers.must_link,
        cannot_link=answers.cannot_link,
    )
    middle, alike = [], []
    for rows in Members(labels).all():
        middle.append(int(rows[np.argmax(sure[rows])]))
        others, votes = np.unique(nearest[rows], return_counts=True)
        ranked = others[np.argsort(-votes, kind="stable")]
        alike.append(ranked[ranked >= 0][:_ALIKE].tolist())
    return Asked(labels, questions, np.array(middle), alike)


def rows_of(table: Table, names: tuple[str, ...], where: str) -> Table:
    """The table's rows of ``names``, in their order; clusters numbered anew.

    Raises:
      InputError: a name that it does not have.
    """
    row_of = {name: row for row, name in enumerate(table.names)}
    gone = [name for name in names if name not in row_of]
    if gone:
        raise InputError(
            f"{where} has {len(table.names):,} images, and {len(gone):,} of "
            f"{len(names):,} are not among them, such as {short(gone[0])}: cluster "
            "again, or give what it was made of"
        )
    rows = np.array([row_of[name] for name in names])
    old = table.clusters[rows]
    labels = by_first_row(old)
    new = dict(zip(old.tolist(), labels.tolist(), strict=True))
    nearest = [new.get(other, -1) for other in table.nearest[rows].tolist()]
    return Table(
        names,
        labels,
        table.confidence[rows],
        np.array(nearest, np.int32),
        tuple(table.called[cluster] for cluster in new),
        {new[k]: name for k, name in table.individuals.items() if k in new},
        table.notes,
    )


def _alike(graph: sp.csr_array, labels: np.ndarray) -> list[list[int]]:
    """Of each cluster the others that are most similar on the mean."""
    found: list[list[int]] = [[] for _ in range(int(labels.max(initial=-1)) + 1)]
    pairs, _ = clustering.alike(graph, labels, most=max(1, graph.nnz))
    for a, b in pairs.tolist():
        for one, other in ((a, b), (b, a)):
            if len(found[one]) < _ALIKE:
                found[one].append(other)
    return found
