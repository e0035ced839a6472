"""Purity, mutual information and silhouette: by hand, by loop, by scikit-learn 1.9."""

import tracemalloc
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import quality as partition
from fgu_jax.clustering.quality import normalized_mutual_information, purity, silhouette
from fgu_jax.errors import InputError

I = np.arange(120)
LABELS = (I * I * 7 + I // 5) % 9
PEOPLE = (I // 8 + (I * I) % 5) % 11
SPREAD = np.stack([(I * 37) % 17, (I * I * 5) % 13, I // 7], axis=1).astype(float)
BLOBS = np.stack([(I * 37) % 17 + 20 * (I % 3), (I * I * 5) % 13 + 20 * (I % 2)], 1)
# Six blobs, one image taken out to be alone, and numbers that are not dense.
ODD = np.where(I == 60, -4, np.where(I % 6 == 5, 77, I % 6))


def test_agrees_with_scikit_learn():
    assert purity(LABELS, PEOPLE) == 0.25
    mutual = normalized_mutual_information(LABELS, PEOPLE)
    assert mutual == pytest.approx(0.18539154529855442, abs=1e-14)


def test_unknown_identities_are_left_out():
    people = np.where(I % 13 == 0, -1, PEOPLE)
    assert purity(LABELS, people) == pytest.approx(28 / 110, abs=1e-15)
    mutual = normalized_mutual_information(LABELS, people)
    assert mutual == pytest.approx(0.18976408572538708, abs=1e-14)


def test_mutual_information_by_hand():
    # Two clusters of two; one of them mixed: I = H(labels) - H(labels | people).
    labels, people = [0, 0, 1, 1], [5, 5, 5, 6]
    conditional = 3 / 4 * (1 / 3 * np.log(3) + 2 / 3 * np.log(3 / 2))
    information = np.log(2) - conditional
    entropy = 1 / 4 * np.log(4) + 3 / 4 * np.log(4 / 3)
    expected = information / ((np.log(2) + entropy) / 2)
    got = normalized_mutual_information(labels, people)
    assert got == pytest.approx(expected, abs=1e-15)
    assert purity(labels, people) == 3 / 4


@pytest.mark.parametrize(
    ("labels", "people", "pure", "mutual"),
    [
        ([3, 3, 3], [8, 8, 8], 1, 1),
        ([3, 3, 3, 3], [1, 1, 2, 2], 0.5, 0),
        ([1, 2, 3, 4], [9, 9, 9, 9], 1, 0),
        ([1, 2, 3, 4], [5, 6, 7, 8], 1, 1),
        ([0, 0, 1, 1], [0, 1, 0, 1], 0.5, 0),
        ([4], [0], 1, 1),
    ],
)
def test_extremes(labels, people, pure, mutual):
    assert purity(labels, people) == pure
    assert normalized_mutual_information(labels, people) == pytest.approx(
        mutual, abs=1e-15
    )


PARTITIONS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        *[st.lists(st.integers(0, 5), min_size=n, max_size=n) for _ in range(2)]
    )
)


@settings(max_examples=100, deadline=None)
@given(PARTITIONS, st.randoms(use_true_random=False))
def test_invariants(both, random):
    labels, people = (np.array(each) for each in both)
    pure, mutual = purity(labels, people), normalized_mutual_information(labels, people)
    assert 0 <= mutual <= 1
    commonest = sum(
        max(np.sum((labels == c) & (people == p)) for p in set(people))
        for c in set(labels)
    )
    assert pure == commonest / len(labels)
    assert mutual == pytest.approx(
        normalized_mutual_information(people, labels), abs=1e-12
    )
    renamed = np.array(random.sample(range(-50, 50), 6))[labels]
    order = np.array(random.sample(range(len(labels)), len(labels)))
    assert purity(renamed[order], people[order]) == pure
    assert mutual == pytest.approx(
        normalized_mutual_information(renamed[order], people[order]), abs=1e-12
    )


def test_silhouette_agrees_with_scikit_learn():
    assert silhouette(SPREAD, LABELS) == pytest.approx(-0.14157056563770135, abs=1e-9)
    assert silhouette(BLOBS, I % 6) == pytest.approx(0.5537347755234994, abs=1e-9)
    assert silhouette(BLOBS, ODD) == pytest.approx(0.417173818556761, abs=1e-9)


def test_silhouette_by_hand():
    # 0 and 1 against 4, which is alone: (4 - 1) / 4, (3 - 1) / 3 and 0.
    got = silhouette([[0.0], [1.0], [4.0]], [5, 5, 2])
    assert got == pytest.approx((3 / 4 + 2 / 3 + 0) / 3, abs=1e-15)


def test_sample_is_compared_with_all_images():
    """The mean of scikit-learn's `silhouette_samples` over the rows that are drawn."""
    got = silhouette(BLOBS, ODD, sample=30, seed=3)
    assert got == pytest.approx(0.46497281375789634, abs=1e-9)
    assert silhouette(BLOBS, ODD, sample=30, seed=4) != got
    everything = silhouette(BLOBS, ODD, sample=None)
    assert silhouette(BLOBS, ODD, sample=120) == everything
    assert silhouette(BLOBS, ODD, sample=500) == everything


def test_silhouette_in_blocks(monkeypatch):
    whole = silhouette(SPREAD, LABELS)
    monkeypatch.setattr(partition, "_ROWS", 7)
    monkeypatch.setattr(partition, "_COLUMNS", 11)
    assert silhouette(SPREAD, LABELS) == pytest.approx(whole, abs=1e-13)


def test_silhouette_holds_no_square(monkeypatch):
    monkeypatch.setattr(partition, "_ROWS", 64)
    monkeypatch.setattr(partition, "_COLUMNS", 64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 4))
    tracemalloc.start()
    silhouette(x, rng.integers(0, 50, 3000), sample=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 8 / 10


def test_silhouette_of_points_far_from_the_origin():
    got = silhouette(BLOBS + 1e6, ODD)
    assert got == pytest.approx(silhouette(BLOBS, ODD), abs=1e-9)


def test_silhouette_of_identical_and_of_lonely_images():
    assert silhouette(np.ones((6, 2)), [0, 0, 0, 1, 1, 1]) == 0
    assert silhouette(SPREAD, I) == 0


def test_silhouette_takes_jax_arrays_and_half_precision():
    for kind in (jnp.float32, jnp.float16, jnp.bfloat16):
        got = silhouette(jnp.asarray(BLOBS, kind), jnp.asarray(ODD))
        assert got == pytest.approx(0.417173818556761, abs=1e-3)


@pytest.mark.parametrize("figure", [purity, normalized_mutual_information])
@pytest.mark.parametrize(
    ("labels", "people", "words"),
    [
        ([0, 1], [0, 1, 1], r"labels has shape \(2,\), identities 3 rows"),
        ([[0, 1]], [0, 1], r"labels has shape \(1, 2\)"),
        ([0, 1], [[0, 1]], r"identities has shape \(1, 2\)"),
        ([0.0, 1.0], [0, 1], r"labels holds float64"),
        ([0, 1], ["a", "b"], r"identities holds <U1"),
        ([0, 1], [-1, -1], r"none of 2 images has an identity"),
        ([], [], r"none of 0 images has an identity"),
    ],
)
def test_bad_labels_are_said_in_one_line(figure, labels, people, words):
    with pytest.raises(InputError, match=words):
        figure(labels, people)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": [[0.0], [np.nan], [1.0]]}, r"features row 1 holds NaN"),
        ({"features": [0.0, 1.0, 2.0]}, r"features of shape \(3,\)"),
        ({"features": [["a"], ["b"], ["c"]]}, r"hold <U1"),
        ({"labels": [0, 1]}, r"labels has shape \(2,\), features 3 rows"),
        ({"labels": [0.0, 0.0, 1.0]}, r"labels holds float64"),
        ({"labels": [4, 4, 4]}, r"1 cluster of 3 images: give 2 or more"),
        ({"sample": 0}, r"sample=0 of 3 images"),
    ],
)
def test_bad_silhouettes_are_said_in_one_line(change, words):
    good: dict[str, Any] = {"features": [[0.0], [1.0], [4.0]], "labels": [5, 5, 2]}
    with pytest.raises(InputError, match=words):
        silhouette(**(good | change))
