"""What answers teach of features: which differences mean nothing.

Two images of one individual differ by pose, light and camera. The directions in which
those that a person called the same differ are shortened, and with them, less, those in
which clusters spread.
"""

import numpy as np

_OF_CLUSTERS = 30  # answers that the spread of the clusters counts as, at the most
_A_ANSWER = 3  # but for few answers no more than three times as many
_EVEN = 300  # answers that the same spread in every direction counts as


def learnt(features: np.ndarray, labels: np.ndarray, must: np.ndarray) -> np.ndarray:
    """Features in which one individual spreads alike in every direction.

    With x centred features, d = (x_i - x_j) / sqrt(2) of P must-linked pairs, C the
    covariance of images about the mean of their cluster, and q = min(30, 3 P),

      W = (sum d d^T + q C + 300 (tr / D) I) / (P + q + 300),  x' = W^(-1/2) x,

    where tr is the trace of the first two terms over P + q.

    Args:
      features: float32 [N, D], unit rows.
      labels: int [N], clusters, dense.
      must: int [P, 2], rows that show the same individual, P > 0.

    Returns:
      float32 [N, D]; ``features`` themselves where a row would be zero, or where
      nothing differs.

    >>> x = np.array([[1, 0.5], [1, -0.5], [-1, 0.5], [-1, -0.5]], np.float32)
    >>> y = learnt(x, np.array([0, 0, 1, 1]), np.array([[0, 1]] * 9))
    >>> bool(abs(y[0, 0] / y[0, 1]) > 2)
    True

    Source: relevant component analysis (Shental et al. 2002; Bar-Hillel et al. 2005),
    whose chunklets are the answers, with two priors.
    """
    x = features.astype(np.float64)
    x -= x.mean(axis=0)
    size = np.bincount(labels)
    means = np.zeros((len(size), x.shape[1]))
    np.add.at(means, labels, x)
    about = (x - means[labels] / size[labels, None])[size[labels] > 1]
    answered = (x[must[:, 0]] - x[must[:, 1]]) / np.sqrt(2)
    pairs = len(must)
    weight = min(_OF_CLUSTERS, _A_ANSWER * pairs)
    spread = answered.T @ answered
    spread += weight / max(1, len(about)) * (about.T @ about)
    even = np.trace(spread) / ((pairs + weight) * len(spread))
    if not even > 0:
        return features
    spread += _EVEN * even * np.eye(len(spread))
    values, directions = np.linalg.eigh(spread / (pairs + weight + _EVEN))
    out = (x @ (directions / np.sqrt(values))) @ directions.T
    if not (np.linalg.norm(out, axis=1) > 0).all():
        return features
    return out.astype(np.float32)
