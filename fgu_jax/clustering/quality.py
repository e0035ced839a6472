"""How good a partition of images is: against identities, and without them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN

__all__ = ["normalized_mutual_information", "purity", "silhouette"]

_ROWS, _COLUMNS = 256, 4096  # of a block of distances


def purity(labels: ArrayLike, identities: ArrayLike) -> float:
    """Share of images whose cluster has their identity as its commonest.

    Args:
      labels: int [N], cluster of each image, any numbers.
      identities: int [N]; images of identity -1 are left out.

    Returns:
      A fraction in 0..1; 1 also where each image is a cluster of its own.

    Raises:
      InputError: lengths that differ, numbers that are no integers, no identity.

    >>> purity([0, 0, 0, 1], [7, 7, 8, 8])
    0.75

    Source: Manning et al., Introduction to Information Retrieval, eq (16.1).
    """
    return contingency(labels, identities).purity()


def normalized_mutual_information(labels: ArrayLike, identities: ArrayLike) -> float:
    """Mutual information of clusters and identities over the mean of their entropies.

    Args:
      labels: int [N], cluster of each image, any numbers.
      identities: int [N]; images of identity -1 are left out.

    Returns:
      I(labels; identities) / ((H(labels) + H(identities)) / 2), in 0..1; 1 where both
      are one single group.

    Raises:
      InputError: lengths that differ, numbers that are no integers, no identity.

    >>> normalized_mutual_information([0, 0, 1, 1], [7, 7, 8, 8])
    1.0

    Source: Vinh et al., JMLR 2010, NMI_sum.
    """
    return contingency(labels, identities).information()


def silhouette(
    features: ArrayLike, labels: ArrayLike, *, sample: int | None = 2000, seed: int = 0
) -> float:
    """Mean silhouette: how much nearer images are to their own cluster than to another.

    With a the mean Euclidean distance of an image to the others of its cluster and b
    the least such mean over other clusters, its silhouette is (b - a) / max(a, b); 0
    where it is alone in its cluster. The mean is over a sample of images; each of them
    is compared with all, so that small clusters are seen whole.

    Args:
      features: float [N, D].
      labels: int [N], cluster of each image, any numbers.
      sample: how many images, drawn without repetition; None, or N or more: all.
      seed: of the draw.

    Returns:
      A number in -1..1, computed in float64, in blocks: no N x N matrix is held.

    Raises:
      InputError: NaN, lengths that differ, fewer than 2 clusters, a bad ``sample``.

    >>> silhouette([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1]).__round__(4)
    0.8997

    Source: Rousseeuw, J. Comput. Appl. Math. 20, 1987.
    """
    x = np.asarray(features)
    if x.ndim != 2 or not np.can_cast(x.dtype, np.longdouble):
        raise InputError(
            f"features of shape {x.shape} hold {x.dtype}: give numbers [N, D]"
        )
    cluster = _integers(labels, "labels", len(x), "features")
    if sample is not None and sample < 1:
        raise InputError(f"sample={sample} of {len(x)} images: give 1 or more, or None")
    # Sorted by cluster, each cluster is one run of columns.
    order = np.argsort(cluster, kind="stable")
    cluster = np.unique(cluster[order], return_inverse=True)[1]
    size = np.bincount(cluster)
    if len(size) < 2:
        raise InputError(f"{len(size)} cluster of {len(x)} images: give 2 or more")
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise InputError(
            f"features row {np.argmin(finite)} holds NaN or infinity: leave it out"
        )
    x = x[order]
    middle = x.mean(axis=0, dtype=np.float64)[None, :]
    rows = np.arange(len(x))
    if sample is not None and sample < len(x):
        drawn = np.random.default_rng(seed).choice(len(x), sample, replace=False)
        place = np.empty_like(order)
        place[order] = rows
        rows = place[np.sort(drawn)]
    total = 0.0
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        sums = _distance_sums(x, middle, part, cluster, len(size))
        total += _silhouettes(sums, cluster[part], size).sum()
    return float(total / len(rows))


def _distance_sums(
    x: np.ndarray, middle: np.ndarray, rows: np.ndarray, cluster: np.ndarray, count: int
) -> np.ndarray:
    """Float64 [B, C]: sums of distances from ``rows`` to each cluster's images."""
    left = x[rows].astype(np.float64) - middle
    left_square = np.einsum("nd,nd->n", left, left)
    sums = np.zeros((len(rows), count))
    for start in range(0, len(x), _COLUMNS):
        right = x[start : start + _COLUMNS].astype(np.float64) - middle
        square = left @ right.T
        square *= -2
        square += left_square[:, None]
        square += np.einsum("nd,nd->n", right, right)[None, :]
        distance = np.sqrt(np.maximum(square, 0, out=square), out=square)
        itself = rows - start
        here = (itself >= 0) & (itself < len(right))
        distance[here, itself[here]] = 0
        run = cluster[start : start + _COLUMNS]
        begins = np.flatnonzero(np.diff(run, prepend=-1))
        sums[:, run[begins]] += np.add.reduceat(distance, begins, axis=1)
    return sums


def _silhouettes(sums: np.ndarray, own: np.ndarray, size: np.ndarray) -> np.ndarray:
    row = np.arange(len(own))
    inner = sums[row, own] / np.maximum(size[own] - 1, 1)
    means = sums / size[None, :]
    means[row, own] = np.inf
    outer = means.min(axis=1)
    largest = np.maximum(inner, outer)
    valid = (size[own] > 1) & (largest > 0)
    return np.divide(outer - inner, largest, out=np.zeros(len(own)), where=valid)


class Contingency(NamedTuple):
    """Images by cluster and identity: the cells that are not empty.

    Attributes:
      cluster, identity: int64 [cells], both dense.
      size: int64 [cells], images in each.
    """

    cluster: np.ndarray
    identity: np.ndarray
    size: np.ndarray

    def purity(self) -> float:
        """As the function ``purity``."""
        commonest = np.zeros(self.cluster.max() + 1, np.int64)
        np.maximum.at(commonest, self.cluster, self.size)
        return float(commonest.sum() / self.size.sum())

    def information(self) -> float:
        """As ``normalized_mutual_information``."""
        joint = self.size / self.size.sum()
        first = np.bincount(self.cluster, joint)
        second = np.bincount(self.identity, joint)
        if len(first) == len(second) == 1:
            return 1.0
        mean_entropy = (_entropy(first) + _entropy(second)) / 2
        chance = first[self.cluster] * second[self.identity]
        information = joint @ np.log(joint / chance)
        return float(np.clip(information / mean_entropy, 0, 1))


def contingency(labels: ArrayLike, identities: ArrayLike) -> Contingency:
    """The cells of the images whose identity is known.

    Raises:
      InputError: as ``purity``.
    """
    person = _integers(identities, "identities")
    cluster = _integers(labels, "labels", len(person), "identities")
    known = person != UNKNOWN
    if not known.any():
        raise InputError(f"none of {len(person)} images has an identity (-1: unknown)")
    person = np.unique(person[known], return_inverse=True)[1]
    cluster = np.unique(cluster[known], return_inverse=True)[1]
    width = int(person.max()) + 1
    cells, size = np.unique(cluster * width + person, return_counts=True)
    return Contingency(cells // width, cells % width, size)


def _entropy(shares: np.ndarray) -> float:
    return float(-(shares @ np.log(shares)))


def _integers(
    values: ArrayLike, name: str, rows: int | None = None, of: str = ""
) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        other = "" if rows is None else f", {of} {rows} rows"
        raise InputError(f"{name} has shape {array.shape}{other}: give one an image")
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{name} holds {array.dtype}: give integers")
    return array.astype(np.int64)
