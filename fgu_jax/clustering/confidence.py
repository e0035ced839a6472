"""How sure each image is of its cluster, and which clusters are most alike."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import as_labels

# Of a logistic regression on sets of images that docs/clustering.md names.
_BIAS, _OWN, _CLUSTER, _STEP = 1.37, 1.64, -0.51, 0.19
_LEAST_STEP = 0.03
_EDGE = 0.02  # keeps the odds of a mean of 0 or 1 finite


@dataclass(frozen=True)
class Standing:
    """How each image stands to its cluster and to the others.

    Attributes:
      own: float64 [N], mean similarity to the other images of its cluster, 0..1; 0
        where it is alone.
      nearest: int32 [N], the other cluster whose images are most similar on the mean,
        the first of equals; -1 where it has nothing in common with any.
      other: float64 [N], that similarity; 0 where there is none.
      confidence: float64 [N], about the chance that the image is of its cluster's
        commonest individual, 0..1; 0 where it is alone, as nothing speaks for it.
    """

    own: np.ndarray
    nearest: np.ndarray
    other: np.ndarray
    confidence: np.ndarray


def standing(
    similarities: sp.csr_array, labels: ArrayLike, *, step: float = 0.0
) -> Standing:
    """How each image stands, by the graph that was clustered.

    With s the mean similarity of an image to the others of its cluster, S the mean of
    s over the cluster, and odds(x) = log((x + 0.02) / (1.02 - x)), confidence is

      1 / (1 + exp(-(1.37 + 1.64 odds(s) - 0.51 odds(S) + 0.19 log(0.03 + step)))),

    a logistic regression on labelled sets of images, held against others
    (docs/clustering.md).

    Args:
      similarities: [N, N] of ``neighbour_graph`` (``Graph.similarities``), symmetric,
        nothing on the diagonal.
      labels: int [N], dense in 0..C-1.
      step: how clearly the neighbours show a scale, ``Graph.step``; 0 where none does.

    Returns:
      ``Standing``.

    Raises:
      InputError: lengths that differ, clusters that are not dense.

    >>> graph = sp.csr_array([[0, 0.9, 0.3], [0.9, 0, 0], [0.3, 0, 0]])
    >>> found = standing(graph, [0, 0, 1])
    >>> found.own.tolist(), found.nearest.tolist(), found.other.tolist()
    ([0.9, 0.9, 0.0], [1, -1, 0], [0.3, 0.0, 0.15])
    >>> found.confidence.round(2).tolist()
    [0.95, 0.95, 0.0]
    """
    own_cluster, size = _dense(similarities, labels)
    sums = _sums(similarities, own_cluster, len(size))
    row = np.repeat(np.arange(len(own_cluster)), np.diff(sums.indptr))
    inside = sums.indices == own_cluster[row]
    total = np.bincount(row[inside], sums.data[inside], len(own_cluster))
    own = total / np.maximum(size[own_cluster] - 1, 1)
    row, other = row[~inside], sums.indices[~inside]
    mean = sums.data[~inside] / size[other]
    order = np.lexsort((-other, mean, row))  # the last of a row is the one
    row, other, mean = row[order], other[order], mean[order]
    last = np.flatnonzero(np.diff(row, append=-1))
    nearest = np.full(len(own), -1, np.int32)
    nearest[row[last]] = other[last]
    similarity = np.zeros(len(own))
    similarity[row[last]] = mean[last]
    of_cluster = (np.bincount(own_cluster, own) / size)[own_cluster]
    score = _BIAS + _OWN * _odds(own) + _CLUSTER * _odds(of_cluster)
    score += _STEP * np.log(_LEAST_STEP + step)
    confidence = np.where(size[own_cluster] > 1, 1 / (1 + np.exp(-score)), 0)
    return Standing(own, nearest, similarity, confidence)


def alike(
    similarities: sp.csr_array, labels: ArrayLike, most: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of clusters that are most similar on the mean: where to look first.

    Args:
      similarities, labels: as of ``standing``.
      most: pairs at the most.

    Returns:
      int32 [P, 2], the lower number first, the most similar pair first, ties by
      number; and their mean similarity, float64 [P], above 0.

    >>> graph = sp.csr_array([[0, 0.4, 0], [0.4, 0, 0.2], [0, 0.2, 0]])
    >>> pairs, similarity = alike(graph, [0, 1, 2])
    >>> pairs.tolist(), similarity.tolist()
    ([[0, 1], [1, 2]], [0.4, 0.2])
    """
    own_cluster, size = _dense(similarities, labels)
    sums = _sums(similarities, own_cluster, len(size))
    member = sp.csr_array(
        (np.ones(len(own_cluster)), own_cluster, np.arange(len(own_cluster) + 1)),
        (len(own_cluster), len(size)),
    )
    between = sp.triu(member.T @ sums, 1).tocoo()
    mean = between.data / (size[between.row].astype(np.float64) * size[between.col])
    order = np.lexsort((between.col, between.row, -mean))[:most]
    pairs = np.stack([between.row[order], between.col[order]], axis=1)
    return pairs.astype(np.int32), mean[order]


def _odds(share: np.ndarray) -> np.ndarray:
    return np.log((share + _EDGE) / (1 - share + _EDGE))


def _dense(
    similarities: sp.csr_array, labels: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Int64 [N] clusters, and [C] how many images each has."""
    found = as_labels(labels, "labels", similarities.shape[0])
    size = np.bincount(found) if len(found) and found.min() >= 0 else np.zeros(1, int)
    if not size.all() and len(found):
        raise InputError(
            f"labels {found.min()} to {found.max()} are not dense: number clusters 0 "
            "to C - 1, each with an image"
        )
    return found, size


def _sums(
    similarities: sp.csr_array, own_cluster: np.ndarray, count: int
) -> sp.csr_array:
    """Float64 [N, C]: the similarity of each image to all of a cluster, summed."""
    images = len(own_cluster)
    member = sp.csr_array(
        (np.ones(images), own_cluster, np.arange(images + 1)), (images, count)
    )
    sums = (similarities.astype(np.float64) @ member).tocsr()
    sums.sort_indices()
    return sums
