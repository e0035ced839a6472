"""Clusters by kept libraries at their defaults, on the same features."""

import numpy as np
import scipy.cluster.hierarchy as hierarchy
import scipy.sparse as sp
from scipy.spatial.distance import squareform

from fgu_jax import clustering


def average_dense(graph: sp.csr_array, max_distance: float) -> np.ndarray:
    """SciPy's average linkage on all pairs of a graph: N x N numbers."""
    distance = 1 - graph.toarray().astype(np.float64)
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance, checks=False), "average")
    return hierarchy.fcluster(tree, max_distance, "distance")


def dbscan(features: np.ndarray, eps: float = 0.5) -> np.ndarray:
    """scikit-learn's DBSCAN on Jaccard distances, at what the field uses: k1 30, k2 6,
    eps 0.5, 4 neighbours."""
    from sklearn.cluster import DBSCAN

    graph = clustering.neighbour_graph(features, k1=30, k2=6)
    distance = graph.copy()
    distance.data = 1 - distance.data
    kept = distance.data <= eps
    rows = np.repeat(np.arange(len(features)), np.diff(distance.indptr))[kept]
    near = sp.csr_array(
        (np.maximum(distance.data[kept], 1e-9), (rows, distance.indices[kept])),
        distance.shape,
    )
    near.setdiag(1e-9)  # each is its own neighbour
    found = DBSCAN(eps=eps, min_samples=4, metric="precomputed")
    return found.fit(sp.csr_matrix(near)).labels_


def hdbscan(features: np.ndarray) -> np.ndarray:
    """scikit-learn's HDBSCAN on Euclidean distances, its defaults."""
    from sklearn.cluster import HDBSCAN

    return HDBSCAN(copy=True).fit(features).labels_


def infomap(features: np.ndarray) -> np.ndarray | None:
    """Infomap on the graph of k1 30, k2 6; ``None`` where it is not installed."""
    try:
        from infomap import Infomap
    except ImportError:
        return None
    graph = sp.triu(clustering.neighbour_graph(features, k1=30, k2=6), 1).tocoo()
    search = Infomap(two_level=True, silent=True, seed=1)
    search.add_nodes(range(len(features)))
    for i, j, weight in zip(graph.row, graph.col, graph.data, strict=True):
        search.add_link(int(i), int(j), float(weight))
    search.run()
    modules = search.get_modules()
    return np.array([modules[row] for row in range(len(features))])


def ward(features: np.ndarray, number: int) -> np.ndarray | None:
    """SciPy's Ward, told the number; ``None`` where N x N numbers would not fit."""
    return _told(features, number, "ward")


def average_euclid(features: np.ndarray, number: int) -> np.ndarray | None:
    """SciPy's average linkage on Euclidean distances, told the number; as ``ward``."""
    return _told(features, number, "average")


def _told(features: np.ndarray, number: int, method: str) -> np.ndarray | None:
    if len(features) > _MOST_FOR_ALL_PAIRS:
        return None
    tree = hierarchy.linkage(features, method)
    return hierarchy.fcluster(tree, number, "maxclust")


_MOST_FOR_ALL_PAIRS = 20_000
ALL = {"DBSCAN, Jaccard 0.5": dbscan, "HDBSCAN": hdbscan, "Infomap": infomap}
TOLD = {"Ward, told": ward, "average Euclid, told": average_euclid}
