"""Confidence of an image's cluster, its file, and where grouping stops."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import choose as grouping
from fgu_jax.clustering import confidence as clusters
from fgu_jax.errors import InputError
from fgu_jax.runs.clusters import write_clusters


def _slow_confidences(x, own):
    found = np.zeros(len(x))
    for i in range(len(x)):
        mine = [j for j in range(len(x)) if own[j] == own[i] and j != i]
        others = [
            np.linalg.norm(x[i] - x[own == c].mean(axis=0))
            for c in set(own.tolist())
            if c != own[i]
        ]
        if not mine or not others:
            continue
        a = np.linalg.norm(x[i] - x[mine].mean(axis=0))
        found[i] = max(0.0, 1 - a / min(others)) if min(others) > 0 else 0.0
    return found


@pytest.mark.parametrize("num_images", [2, 30, 1500])
def test_confidences_against_a_loop(num_images):
    rng = np.random.default_rng(num_images)
    x = rng.normal(size=(num_images, 5)).astype(np.float32) + 3
    own = np.unique(rng.integers(0, 7, num_images), return_inverse=True)[1]
    found = clusters.confidences(x, own)
    np.testing.assert_allclose(found, _slow_confidences(x.astype(float), own), 1e-9)
    assert found.min() >= 0
    assert found.max() <= 1


def test_confidence_by_hand():
    # 0 and 2 are each other's centre; from 2, the others' mean 6 is 4 away.
    x = [[0.0], [2.0], [5.0], [7.0], [40.0]]
    found = clusters.confidences(x, [0, 0, 1, 1, 2])
    np.testing.assert_allclose(found, [1 - 2 / 6, 1 - 2 / 4, 1 - 2 / 4, 1 - 2 / 6, 0])


def test_confidence_where_nothing_speaks_for_a_cluster():
    same = np.ones((4, 3))
    assert clusters.confidences(same, [0, 0, 1, 1]).tolist() == [0] * 4
    assert clusters.confidences(same, [0, 0, 0, 0]).tolist() == [0] * 4
    assert clusters.confidences(np.eye(4), [0, 1, 2, 3]).tolist() == [0] * 4
    # Duplicates lie on their centre, whatever the others do.
    x = [[0.0], [0.0], [3.0], [4.0]]
    assert clusters.confidences(x, [0, 0, 1, 1])[:2].tolist() == [1, 1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_confidences_follow_a_permutation(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 3))
    own = np.unique(rng.integers(0, 4, 12), return_inverse=True)[1]
    order = rng.permutation(12)
    np.testing.assert_allclose(
        clusters.confidences(x[order], own[order]),
        clusters.confidences(x, own)[order],
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("features", "own", "message"),
    [
        (np.ones((3, 2)), [0, 1], r"\[2\] do not fit features \[3, 2\]"),
        (np.ones((3, 2)), [0, 0, 2], "number them 0..C-1"),
        (np.ones((3, 2)), [0.0, 0, 1], "give integers"),
        (np.ones(3), [0, 0, 1], "do not fit"),
    ],
)
def test_clusters_that_do_not_fit_are_refused(features, own, message):
    with pytest.raises(InputError, match=message):
        clusters.confidences(features, own)


def test_names_come_out_of_the_csv_as_they_are_on_the_disk(tmp_path):
    names = ("a,b.jpg", 'say "x".jpg', "two\nlines.jpg", "caf\udce9.jpg", "é日.jpg")
    path = tmp_path / "clusters.csv"
    path.write_text("old")
    own = np.arange(5) // 2
    write_clusters(path, names, own, np.linspace(0, 1, 5))
    assert b"caf\xe9.jpg" in path.read_bytes()
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert tuple(row["image"] for row in rows) == names
    assert [row["cluster"] for row in rows] == ["0", "0", "1", "1", "2"]
    assert [row["confidence"] for row in rows] == [
        "0.0000",
        "0.2500",
        "0.5000",
        "0.7500",
        "1.0000",
    ]
    assert list(tmp_path.iterdir()) == [path]


def _blobs(num_blobs, size=9, seed=0):
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(num_blobs, 8))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    x = np.repeat(middles, size, axis=0) + 0.05 * rng.normal(size=(num_blobs * size, 8))
    own = np.repeat(np.arange(num_blobs), size)
    order = rng.permutation(len(x))
    return x[order].astype(np.float32), own[order]


@pytest.mark.parametrize("num_blobs", [2, 5, 13, 40])
def test_the_silhouette_finds_groups_that_are_there(num_blobs):
    x, own = _blobs(num_blobs)
    found = grouping.group(x)
    assert found.num_clusters == num_blobs
    pairs = {(a, b) for a, b in zip(found.labels.tolist(), own.tolist(), strict=True)}
    assert len(pairs) == num_blobs  # one to one
    numbers = [number for number, _ in found.tried]
    assert numbers == sorted(set(numbers))
    best = max(found.tried, key=lambda pair: pair[1])
    assert best[0] == num_blobs


def test_to_a_number_and_to_a_distance():
    x = np.array([[0.0], [1.0], [5.0], [7.0], [30.0]])
    assert grouping.group(x, number=5).labels.tolist() == [0, 1, 2, 3, 4]
    assert grouping.group(x, number=2).labels.tolist() == [0, 0, 0, 0, 1]
    # Average: 1 and 2 apart, then 5.5; the distance itself is within.
    assert grouping.group(x, distance=0.99).num_clusters == 5
    assert grouping.group(x, distance=1).num_clusters == 4
    assert grouping.group(x, distance=5.5).labels.tolist() == [0, 0, 0, 0, 1]
    assert grouping.group(x, distance=5.5, criterion="max").num_clusters == 3
    assert grouping.group(x, distance=1e9).num_clusters == 2
    few = np.array([[0.0], [1.0]])
    assert grouping.group(few).labels.tolist() == [0, 1]
    assert grouping.group(few, distance=3).num_clusters == 2


@pytest.mark.parametrize("criterion", ["centroid", "median"])
def test_merging_stops_at_the_first_merge_that_is_too_far(criterion):
    # An equilateral triangle: its third merge is nearer than its second.
    x = np.array([[0, 0], [1, 0], [0.5, 0.9], [9, 9]])
    assert grouping.group(x, distance=0.95, criterion=criterion).num_clusters == 4
    assert grouping.group(x, distance=1.0, criterion=criterion).num_clusters == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"number": 1}, "clusters is 1: give 2"),
        ({"number": 6}, "clusters is 6 but there are 5 images"),
        ({"distance": -0.1}, "distance is -0.1"),
        ({"distance": float("nan")}, "distance is nan"),
        ({"number": 2, "distance": 0.1}, "give one of them"),
        ({"criterion": "men"}, "did you mean"),
    ],
)
def test_what_cannot_be_grouped_is_refused(arguments, message):
    x = np.arange(5.0)[:, None]
    with pytest.raises(InputError, match=message):
        grouping.group(x, **arguments)
    with pytest.raises(InputError, match="1 images: at least 2"):
        grouping.group(x[:1])
