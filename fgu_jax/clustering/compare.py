"""How well clusters agree with the true identities, in counts that are exact."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN, as_labels


@dataclass(frozen=True)
class ClusterScores:
    """Scores of clusters against identities; all are fractions, 1 the best.

    Attributes:
      ari: adjusted Rand index, 0 in the mean by chance, and down to -0.5.
      v_measure: harmonic mean of homogeneity and completeness; it is the same number
        as ``nmi`` (Becker 2011), under the name that others look for.
      nmi: mutual information over the mean of the two entropies.
      purity: share of images that are of their cluster's commonest identity.
      pair_precision: share of the pairs of one cluster that are of one identity.
      pair_recall: share of the pairs of one identity that are in one cluster.
      pair_f1: harmonic mean of the two.
      num_clusters, num_identities: among the images whose identity is known.
    """

    ari: float
    v_measure: float
    nmi: float
    purity: float
    pair_precision: float
    pair_recall: float
    pair_f1: float
    num_clusters: int
    num_identities: int


def compare(truth: ArrayLike, labels: ArrayLike) -> ClusterScores:
    """Scores of ``labels`` against the identities ``truth``.

    Args:
      truth: int [N]; images of identity -1 are unknown, and left out.
      labels: int [N], cluster of each image, any numbers.

    Returns:
      ``ClusterScores``. Where there is no pair to be right or wrong about, precision
      (recall) is 1.

    Raises:
      InputError: lengths that differ, numbers that are no integers, no identity.

    >>> compare([7, 7, 8, 8], [0, 0, 0, 1]).pair_precision.__round__(4)
    0.3333

    Source: Hubert and Arabie, Comparing Partitions, 1985, eq (5); Rosenberg and
    Hirschberg, V-Measure, 2007; Vinh et al., JMLR 2010, NMI_sum.
    """
    person = as_labels(truth, "truth")
    cells = _contingency(as_labels(labels, "labels", len(person)), person)
    clusters, people = (
        np.bincount(which, cells.size).astype(np.int64)
        for which in (cells.cluster, cells.identity)
    )
    # Whole numbers of Python: pairs of pairs pass 2^63 at 100,000 images.
    both, same, together = (_pairs(counts) for counts in (cells.size, people, clusters))
    every = _pairs(people.sum(keepdims=True))
    precision = both / together if together else 1.0
    recall = both / same if same else 1.0
    information = cells.information()
    return ClusterScores(
        ari=_adjusted(both, same, together, every),
        v_measure=information,
        nmi=information,
        purity=cells.purity(),
        pair_precision=precision,
        pair_recall=recall,
        pair_f1=2 * both / (same + together) if same + together else 1.0,
        num_clusters=len(clusters),
        num_identities=len(people),
    )


def _pairs(counts: np.ndarray) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _adjusted(both: int, same: int, together: int, every: int) -> float:
    # (both - same together / every) / ((same + together) / 2 - same together / every)
    chance = 2 * same * together
    most = (same + together) * every - chance
    return (2 * both * every - chance) / most if most else 1.0


class _Contingency(NamedTuple):
    """Images by cluster and identity: the cells that are not empty.

    Attributes:
      cluster, identity: int64 [cells], both dense.
      size: int64 [cells], images in each.
    """

    cluster: np.ndarray
    identity: np.ndarray
    size: np.ndarray

    def purity(self) -> float:
        """Share of images that are of their cluster's commonest identity."""
        commonest = np.zeros(self.cluster.max() + 1, np.int64)
        np.maximum.at(commonest, self.cluster, self.size)
        return float(commonest.sum() / self.size.sum())

    def information(self) -> float:
        """Mutual information over the mean of the two entropies."""
        joint = self.size / self.size.sum()
        first = np.bincount(self.cluster, joint)
        second = np.bincount(self.identity, joint)
        if len(first) == len(second) == 1:
            return 1.0
        mean_entropy = (_entropy(first) + _entropy(second)) / 2
        chance = first[self.cluster] * second[self.identity]
        information = joint @ np.log(joint / chance)
        return float(np.clip(information / mean_entropy, 0, 1))


def _contingency(cluster: np.ndarray, person: np.ndarray) -> _Contingency:
    """The cells of the images whose identity is known.

    Raises:
      InputError: nobody is known.
    """
    known = person != UNKNOWN
    if not known.any():
        raise InputError(f"none of {len(person)} images has an identity (-1: unknown)")
    person = np.unique(person[known], return_inverse=True)[1]
    cluster = np.unique(cluster[known], return_inverse=True)[1]
    width = int(person.max()) + 1
    cells, size = np.unique(cluster * width + person, return_counts=True)
    return _Contingency(cells // width, cells % width, size)


def _entropy(shares: np.ndarray) -> float:
    return float(-(shares @ np.log(shares)))
