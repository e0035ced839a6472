"""What all images of one camera have in common, taken out of their features."""

import numpy as np

_ALL = 8  # images' weight of the mean of all cameras, in the mean of each
_ZERO = 1e-5  # length below which nothing but rounding is left


def centred(features: np.ndarray, *views: np.ndarray) -> np.ndarray:
    """Float32 [N, D]: unit features less the mean of their camera, unit again.

    Each view, int [N], is taken out in turn: cameras, or groups that stand for them.

    A camera of few images is hardly more than the individuals on them, so that its
    mean is drawn to that of all images, which counts as 8 images more. An image of
    which nothing is left (all of them are alike) keeps its feature.

    >>> x = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    >>> (2 * centred(x, np.array([1, 1, 2, 2]))).round().tolist()
    [[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]
    """
    for view in views:
        features = _less_means(features, view)
    return features


def _less_means(features: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    of = np.unique(cameras, return_inverse=True)[1]
    every = features.mean(axis=0, dtype=np.float64)
    out = np.empty_like(features)
    for camera in range(int(of.max(initial=-1)) + 1):
        rows = np.flatnonzero(of == camera)
        part = features[rows].astype(np.float64)
        mean = (part.sum(axis=0) + _ALL * every) / (len(rows) + _ALL)
        moved = part - mean[None, :]
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        there = length > _ZERO
        out[rows] = np.where(there, moved / np.where(there, length, 1), part)
    return out
