"""Neighbours of very many images: nearly all of them, and how many is measured."""

import numpy as np
import pytest

from fgu_jax.clustering import approximate, clustering, compare
from fgu_jax.clustering.neighbours import exact_rows, nearest_lists

pytest.importorskip("faiss")


def _drawn(count=3000):
    random = np.random.default_rng(0)
    truth = random.integers(0, count // 10, count)
    rows = random.standard_normal((count // 10, 24))[truth]
    rows = (rows + 0.4 * random.standard_normal(rows.shape)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), truth


def test_nearly_all_are_found_and_recall_is_told():
    features, _ = _drawn()
    lists, recall = approximate.approximate_lists(features, 20)
    exact = nearest_lists(features, 20)
    assert (lists[:, 0] == np.arange(3000)).all()
    assert all(len(set(row)) == 21 for row in lists.tolist())
    pairs = zip(lists, exact, strict=True)
    true = np.mean([len(np.intersect1d(a[1:], b[1:])) / 20 for a, b in pairs])
    assert recall >= approximate.WANTED
    assert abs(true - recall) < 0.02


def test_copies_of_an_image_do_not_hide_it():
    features, _ = _drawn(1000)
    features[:60] = features[0]
    lists, _ = approximate.approximate_lists(features, 20)
    assert (lists[:, 0] == np.arange(1000)).all()
    assert all(len(set(row)) == 21 for row in lists.tolist())


def test_rows_alone_are_those_of_all():
    features, _ = _drawn(500)
    rows = np.array([3, 77, 499])
    np.testing.assert_array_equal(
        exact_rows(features, rows, 9), nearest_lists(features, 9)[rows]
    )


def test_clusters_of_very_many(monkeypatch):
    features, truth = _drawn()
    exact = clustering(features)
    assert exact.graph.recall == 1
    monkeypatch.setattr(approximate, "FROM", 3000)
    near = clustering(features)
    assert approximate.WANTED <= near.graph.recall <= 1
    score = compare(truth, near.labels).ari
    assert abs(score - compare(truth, exact.labels).ari) < 0.03
    monkeypatch.setattr(approximate, "installed", lambda: False)
    assert clustering(features).labels.tolist() == exact.labels.tolist()
