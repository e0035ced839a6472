"""How far two features agree about which images are near each other."""

import numpy as np

from fgu_jax.clustering.neighbours import nearest_lists

NEIGHBOURS = 20


def agreement(
    features: np.ndarray, others: np.ndarray, k: int = NEIGHBOURS
) -> np.ndarray:
    """Float32 [N], 0 to 1: the k nearest images by either feature that both have.

    Shared ones over all of both lists, Jaccard's index: PPLR's cross agreement.

    Args:
      features: float32 [N, D], unit rows.
      others: float32 [N, d], unit rows of the same images.
      k: neighbours, each image itself not counted; N - 1 of fewer images.

    >>> x = np.array([[0.0], [0.1], [0.3], [0.7]], np.float32)
    >>> agreement(x, x, 2).tolist()
    [1.0, 1.0, 1.0, 1.0]
    >>> (3 * agreement(x, x[[0, 3, 2, 1]], 2)).tolist()
    [1.0, 1.0, 1.0, 1.0]

    Source: Cho et al., CVPR 2022, eq (4).
    """
    k = min(k, len(features) - 1)
    one, other = nearest_lists(features, k)[:, 1:], nearest_lists(others, k)[:, 1:]
    both = np.sort(np.concatenate([one, other], axis=1), axis=1)
    shared = np.count_nonzero(both[:, 1:] == both[:, :-1], axis=1)
    return (shared / np.maximum(2 * k - shared, 1)).astype(np.float32)
