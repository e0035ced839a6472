"""What is told of clusters: how many, of how many individuals, and how good."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fgu_jax.clustering import Clustering, ClusterScores, compare
from fgu_jax.clustering.graph import USUAL_FROM, USUAL_K1
from fgu_jax.data import Labels
from fgu_jax.messages import counted
from fgu_jax.retrieval.protocol import UNKNOWN
from fgu_jax.runs.answers import Answers

_DISTRACTOR = 0  # nobody in particular: no two of them are known to be one


def scored(clusters: np.ndarray, labels: Labels | None) -> ClusterScores | None:
    """Scores of clusters int [N] against labels [N], ``None`` where nobody is known.

    Images that are in no cluster (-1) are left out, and so are those of nobody known.
    """
    if labels is None:
        return None
    known = (labels.identities > _DISTRACTOR) & (clusters >= 0)
    if not known.any():
        return None
    return compare(np.where(known, labels.identities, UNKNOWN), clusters)


def suggested(
    clusters: np.ndarray, labels: Labels | None, names: Sequence[str] | None = None
) -> dict[int, str] | None:
    """Of each cluster that holds images of somebody known, who that is.

    Args:
      clusters: int [N].
      labels: of the images.
      names: what identity ``i`` is called is ``names[i - 1]``; none: by its number.

    Returns:
      The commonest identity of each such cluster; of equally common ones the lowest.
      None where nobody is known, or everybody: then there is nothing to suggest.

    >>> labels = Labels(identities=np.array([2, 1, 2, -1]), cameras=None)
    >>> suggested(np.array([0, 0, 0, 1]), labels, ("ada", "eve"))
    {0: 'eve'}
    """
    if labels is None:
        return None
    identities, known = labels.identities, labels.identities > _DISTRACTOR
    if not known.any() or (identities != UNKNOWN).all():
        return None
    pairs = np.stack([clusters[known], identities[known]], axis=1)
    found, count = np.unique(pairs, axis=0, return_counts=True)
    order = np.lexsort((found[:, 1], -count, found[:, 0]))
    said: dict[int, str] = {}
    for cluster, identity in found[order].tolist():
        said.setdefault(cluster, names[identity - 1] if names else str(identity))
    return said


def about_suggestions(clusters: np.ndarray, who: Mapping[int, str]) -> str:
    """For a person: how many clusters hold somebody known; a line."""
    new = ~np.isin(clusters, list(who))
    return (
        f"{len(who):,} clusters hold somebody known (suggested_identity); "
        f"{np.count_nonzero(new):,} images in {len(np.unique(clusters[new])):,} "
        "clusters are of nobody known (new_individual)"
    )


def record(made: Clustering, scores: ClusterScores | None) -> dict[str, Any]:
    """For a run's record, as JSON."""
    return {
        "clusters": made.num_clusters,
        "k1": made.graph.k1,
        "k2": made.graph.k2,
        "individuals": made.individuals._asdict(),
        "scores": None if scores is None else dataclasses.asdict(scores),
    }


def changes(
    before: Clustering, after: Clustering, answers: Answers, labels: Labels | None
) -> str:
    """For a person: what answers changed; a line.

    Args:
      before, after: clusters of the same images without the answers, and with them.
      answers: those that ``after`` honours.
      labels: of the images, where some are known.
    """
    old = before.labels
    joined = _between(old, answers.must_link)
    parted = len(answers.cannot_link) - _between(old, answers.cannot_link)
    held = len(answers.same) - _between(old, answers.same)
    held += _between(old, answers.apart)
    named = len(set(answers.names.values()))
    pairs = np.stack([old, after.labels], axis=1)
    _, which, shared = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    shared = shared[which.ravel()]
    kept = (shared == np.bincount(old)[old]) & (
        shared == np.bincount(after.labels)[after.labels]
    )
    said = (
        f"by {counted(len(answers), 'answer')}: {joined:,} joined two clusters, "
        f"{parted:,} parted one, {held:,} held already; {before.num_clusters:,} "
        f"clusters are now {after.num_clusters:,}, {np.count_nonzero(~kept):,} of "
        f"{len(old):,} images are in another company"
    )
    if named:
        said += f"; named: {named:,}"
    was, now = (scored(made.labels, labels) for made in (before, after))
    if was is not None and now is not None:
        said += f"; ARI {was.ari:.3f} is now {now.ari:.3f}"
    return said


def _between(clusters: np.ndarray, pairs: np.ndarray) -> int:
    """How many pairs are of two clusters."""
    return int(np.count_nonzero(clusters[pairs[:, 0]] != clusters[pairs[:, 1]]))


def lines(made: Clustering, scores: ClusterScores | None) -> list[str]:
    """For a person: clusters, individuals, scores; a line each."""
    size = np.bincount(made.labels)
    graph = made.graph
    found = "" if graph.recall == 1 else f", {graph.recall:.1%} of them found"
    scale = "by the data"
    if graph.alike is None:
        scale = "no scale seen"
        if graph.k1 < USUAL_K1:
            scale += f"; {USUAL_K1} for {USUAL_FROM:,} images and more"
    number, low, high = made.individuals
    said = [
        f"{counted(len(size), 'cluster')}, {np.count_nonzero(size == 1):,} of one "
        "image; "
        f"neighbours k1 {graph.k1}, k2 {graph.k2} ({scale}{found}); mean confidence "
        f"{made.standing.confidence.mean():.2f}",
        f"about {counted(number, 'individual')}, {low:,} to {high:,}",
    ]
    if graph.crossed is not None:
        said.append(
            f"some {graph.crossed:,.0f} pictures at a time have something in common "
            "that individuals cross, as they cross cameras: it was taken out"
        )
    if scores is not None:
        said.append(
            f"against {scores.num_identities:,} identities: ARI {scores.ari:.3f}, "
            f"V-measure {scores.v_measure:.3f}, NMI {scores.nmi:.3f}, purity "
            f"{scores.purity:.3f}; pairs: precision {scores.pair_precision:.3f}, "
            f"recall {scores.pair_recall:.3f}, F1 {scores.pair_f1:.3f}"
        )
    return said
