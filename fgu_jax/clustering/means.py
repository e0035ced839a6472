"""Means of the features of clusters."""

from collections.abc import Iterator

import numpy as np

from fgu_jax.errors import InputError


def cluster_centres(
    features: np.ndarray, labels: np.ndarray, *, rows: int
) -> np.ndarray:
    """Centres c: the mean feature of each cluster's images, not normalised.

    On the host and summed in float64 in row order, so that no device's atomics or
    number of devices can change a bit of it.

    Args:
      features: float [N, D].
      labels: int [N], dense in 0..C-1.
      rows: height of the table, C_max >= C; dead rows are zero.

    Returns:
      NumPy float [rows, D], of the features' dtype.

    Raises:
      InputError: lengths that differ, labels that do not fit the rows or are not dense.

    >>> cluster_centres(np.eye(2), np.array([0, 0]), rows=2).tolist()
    [[0.5, 0.5], [0.0, 0.0]]

    Source: FGU section 2.2.1, below eq (3).
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise InputError(
            f"labels {labels.shape} do not fit features {features.shape}: "
            "give [N] and [N, D]"
        )
    counts = np.bincount(labels)
    if len(counts) > rows or not counts.all():
        raise InputError(
            f"labels up to {labels.max()} with {np.count_nonzero(counts)} clusters do "
            f"not fit {rows} rows: give dense labels 0..C-1 with C <= rows"
        )
    centres = np.zeros((rows, features.shape[1]), features.dtype)
    for columns, sums in _sums_by_columns(features, labels, counts):
        centres[: len(counts), columns] = sums / counts[:, None]
    return centres


def _sums_by_columns(
    features: np.ndarray, labels: np.ndarray, counts: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Sums of each cluster's features in row order, float64 [C, block of columns].

    In blocks, as a float64 copy of all features would double their memory.
    """
    by_cluster = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for left in range(0, features.shape[1], 256):
        columns = slice(left, left + 256)
        block = features[by_cluster, columns].astype(np.float64)
        yield columns, np.add.reduceat(block, starts, axis=0)
