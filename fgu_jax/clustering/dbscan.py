"""DBSCAN on a sparse graph of similarities."""

import numpy as np
import scipy.sparse as sp


def dbscan(
    graph: sp.sparray | sp.spmatrix, *, max_distance: float, min_samples: int = 4
) -> np.ndarray:
    """Clusters of DBSCAN on the distance 1 - similarity.

    Two images are near if their distance is no more than ``max_distance``. An image
    is of a cluster's core if ``min_samples`` are near it, itself among them; cores
    that are near each other are one cluster. An image that is near a core, and none
    itself, goes to the cluster of the nearest one (scikit-learn: to the first
    cluster that reaches it); any other is in none.

    Args:
      graph: sparse [N, N], similarities in 0..1, symmetric; pairs that it lacks are
        farther than ``max_distance``.
      max_distance: 0 or more, below 1; eps of the source.
      min_samples: how many images, 1 or more.

    Returns:
      int32 [N], dense, numbered by first core; -1 for images in no cluster.

    >>> graph = sp.csr_array([[0, 0.9, 0.8], [0.9, 0, 0], [0.8, 0, 0]])
    >>> dbscan(graph, max_distance=0.3, min_samples=3).tolist()
    [0, 0, 0]
    >>> dbscan(graph, max_distance=0.1, min_samples=3).tolist()
    [-1, -1, -1]

    Source: Ester et al., A density-based algorithm for discovering clusters, 1996.
    """
    pairs = sp.coo_array(graph)
    count = pairs.shape[0]
    row, column = pairs.row, pairs.col
    near = (1 - pairs.data <= max_distance) & (row != column)
    row, column, likeness = row[near], column[near], pairs.data[near]
    core = np.bincount(row, minlength=count) + 1 >= min_samples
    both = core[row] & core[column]
    links = sp.coo_array((likeness[both], (row[both], column[both])), (count, count))
    part = sp.csgraph.connected_components(links.tocsr(), directed=False)[1]
    labels = np.full(count, -1, np.int32)
    labels[core] = np.unique(part[core], return_inverse=True)[1]
    # Of the cores near an image the most alike comes last, of equals the first row.
    reached = ~core[row] & core[column]
    order = np.lexsort((-column[reached], likeness[reached]))
    labels[row[reached][order]] = labels[column[reached][order]]
    return labels


def with_those_alone(labels: np.ndarray) -> np.ndarray:
    """Int32 [N], dense: an image in no cluster gets one of its own, after the others.

    >>> with_those_alone(np.array([0, -1, 0, -1])).tolist()
    [0, 1, 0, 2]
    """
    labels = np.array(labels, np.int32)
    out = labels == -1
    labels[out] = labels.max(initial=-1) + 1 + np.arange(out.sum(), dtype=np.int32)
    return labels
