"""DBSCAN against scikit-learn's, but for images that two clusters reach."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import DBSCAN

from fgu_jax.clustering import dbscan, neighbour_graph


@pytest.mark.parametrize("eps", [0.3, 0.5, 0.7])
def test_it_is_scikit_learns(eps):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 8))
    points = centres[rng.integers(0, 12, 300)] + 0.6 * rng.normal(size=(300, 8))
    graph = neighbour_graph(points, k1=15, k2=4)
    found = dbscan(graph, max_distance=eps)
    distances = 1 - graph.toarray()
    np.fill_diagonal(distances, 0)
    theirs = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit(distances)
    core = np.zeros(300, bool)
    core[theirs.core_sample_indices_] = True
    assert 1 < found.max() + 1 < 100
    np.testing.assert_array_equal(found[core], theirs.labels_[core])
    np.testing.assert_array_equal(found == -1, theirs.labels_ == -1)
    border = ~core & (found >= 0)
    assert border.any()
    for row in np.flatnonzero(border):
        nearest = np.where(core, distances[row], np.inf).argmin()
        assert distances[row, nearest] <= eps
        assert found[row] == found[nearest]


def test_a_border_image_goes_to_the_nearest_core_and_ties_to_the_first_row():
    """Two groups of four, and an image that one of each is near: of equals row 0."""
    four = np.ones((4, 4)) - np.eye(4)
    graph = np.zeros((9, 9))
    graph[:4, :4] = graph[4:8, 4:8] = 0.9 * four
    graph[[0, 4], 8] = graph[8, [0, 4]] = 0.6
    found = dbscan(sp.csr_array(graph), max_distance=0.5, min_samples=4)
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0]
    graph[4, 8] = graph[8, 4] = 0.7
    found = dbscan(sp.csr_array(graph), max_distance=0.5, min_samples=4)
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    found = dbscan(sp.csr_array(graph), max_distance=0.2, min_samples=4)
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, -1]
