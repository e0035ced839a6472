"""How well clusters agree with the true identities, in counts that are exact."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.clustering.quality import contingency
from fgu_jax.retrieval.protocol import as_labels


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
    cells = contingency(as_labels(labels, "labels", len(person)), person)
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
