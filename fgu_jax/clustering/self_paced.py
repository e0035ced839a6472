"""Clusters that hold at distances around theirs, and the rest taken apart (SpCL)."""

import numpy as np

from fgu_jax.clustering.dbscan import with_those_alone

_KEPT = 0.9  # of the first clusters' independence


def self_paced(
    labels: np.ndarray,
    tight: np.ndarray,
    loose: np.ndarray,
    *,
    most: float | None = None,
) -> tuple[np.ndarray, float]:
    """The reliable part of clusters: images of the rest are in none.

    How far an image's cluster A is from another one B of the same image is
    1 - |A and B| / |A or B|. From clusters of a larger distance (``loose``) a cluster
    is as far as that image of it which is least so; from those of a smaller one
    (``tight``) each image is by itself. An image stays if its cluster is within
    ``most`` of the loose ones, and none of its cluster is nearer to the tight ones.

    Args:
      labels: int [N], clusters; -1 of images in none, which are clusters of one.
      tight, loose: int [N], the same at a smaller and at a larger distance.
      most: how far a cluster may be from the loose one, 0 to 1; ``None`` takes what
        nine tenths of these clusters (of two images or more) are within.

    Returns:
      int32 [N], dense in 0..C-1, -1 for images in no cluster; and ``most``.

    >>> of = [0, 0, 1, 1, 1]
    >>> found, most = self_paced(of, [0, 0, 1, 1, -1], of)
    >>> found.tolist(), most
    ([0, 0, 1, 1, -1], 0.0)

    Source: Ge et al., Self-paced Contrastive Learning, NeurIPS 2020, section 3.2; the
    least over a cluster's images and the nine tenths as its code has them.
    """
    own = with_those_alone(np.asarray(labels))
    size = np.bincount(own)
    compact = _apart(own, with_those_alone(np.asarray(tight)))
    independent = _least(_apart(own, with_those_alone(np.asarray(loose))), own)
    several = np.sort(independent[size > 1])
    if most is None:
        at = min(len(several) - 1, int(np.round(_KEPT * len(several))))
        most = float(several[at]) if len(several) else 1.0
    stays = (independent[own] <= most) & (compact <= _least(compact, own)[own])
    stays &= size[own] > 1
    kept = np.full(len(own), -1, np.int32)
    kept[stays] = np.unique(own[stays], return_inverse=True)[1]
    return kept, most


def _apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Float32 [N]: 1 - |A and B| / |A or B| of each image's clusters A and B."""
    pair = first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second
    _, at, both = np.unique(pair, return_inverse=True, return_counts=True)
    both = both[at]
    sizes = np.bincount(first)[first] + np.bincount(second)[second]
    return (1 - both / (sizes - both)).astype(np.float32)


def _least(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each cluster, float32 [C]."""
    found = np.full(labels.max(initial=-1) + 1, np.inf, np.float32)
    np.minimum.at(found, labels, values)
    return found
