"""Images that are not learnt from until clusters are made anew."""

from typing import Literal

import numpy as np

LEFT_OUT = -1  # the cluster of such an image
Refused = Literal["together", "alone"]


def nothing_to_learn_from(
    labels: np.ndarray, *, of_one: bool = False
) -> Refused | None:
    """Whether images are all in one cluster or each alone, or none of both.

    Args:
      labels: int32 [N], dense; -1: in no cluster.
      of_one: clusters of one image each are learnt from.

    >>> nothing_to_learn_from(np.array([0, 0, 0, -1]))
    'together'
    >>> nothing_to_learn_from(np.array([0, -1, 1, 2]))
    'alone'
    >>> nothing_to_learn_from(np.array([0, 0, 1, -1]))
    """
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    if sizes.max() < 2 and not (of_one and sizes.max()):
        return "alone"
    return "together" if len(sizes) < 2 else None


def without_the_unsure(
    labels: np.ndarray, confidence: np.ndarray, share: float
) -> np.ndarray:
    """Int32 [N], dense: the images least sure of their cluster are in none.

    Args:
      labels: int32 [N], dense; images alone in theirs are not counted and stay.
      confidence: float [N], as of ``clustering.standing``.
      share: of the images in clusters of two or more, 0..1; the first row of equals.

    >>> labels = np.array([0, 0, 1, 2, 2, 2])
    >>> confidence = np.array([0.9, 0.9, 0, 0.7, 0.2, 0.8])
    >>> without_the_unsure(labels, confidence, 0.4).tolist()
    [0, 0, 1, -1, -1, 2]
    """
    together = np.flatnonzero(np.bincount(labels)[labels] > 1)
    order = together[np.argsort(confidence[together], kind="stable")]
    kept = labels.copy()
    kept[order[: of_count(share, len(order))]] = LEFT_OUT
    return _dense(kept)


def without_those_alone(labels: np.ndarray) -> np.ndarray:
    """Int32 [N], dense: images that share their cluster with no other are in none.

    >>> without_those_alone(np.array([0, 1, 2, 1])).tolist()
    [-1, 0, -1, 0]
    """
    size = np.bincount(labels[labels >= 0], minlength=1)
    return _dense(np.where(size[labels] > 1, labels, LEFT_OUT))


def _dense(labels: np.ndarray) -> np.ndarray:
    """Int32 [N]: clusters that have an image left, in their order; -1 stays."""
    kept = np.bincount(labels[labels >= 0], minlength=1) > 0
    number = np.cumsum(kept) - 1
    return np.where(labels >= 0, number[labels], LEFT_OUT).astype(np.int32)


def of_count(share: float, count: int) -> int:
    """floor(share count); a decimal such as 0.29 of 100 is 28.999... in binary."""
    return int(np.floor(share * count + 1e-9))
