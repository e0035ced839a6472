"""Clusters told nothing: the scale that the data show, and what must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import cluster, clustering, compare
from fgu_jax.clustering.automatic import MAX_DISTANCE
from fgu_jax.clustering.copies import copies
from fgu_jax.clustering.graph import unit_features
from fgu_jax.clustering.neighbours import nearest_lists
from fgu_jax.clustering.scale import _rises, neighbours_alike
from fgu_jax.errors import InputError


def drawn(identities, pictures, spread=0.6, width=32, seed=0):
    """Unit-free features of ``pictures`` (a number, or one an identity) each."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(identities), pictures)
    middle = random.standard_normal((identities, width))
    return middle[truth] + spread * random.standard_normal((len(truth), width)), truth


@pytest.mark.parametrize("pictures", [3, 4, 6, 9, 15, 25, 45])
def test_the_scale_is_the_pictures_of_an_individual(pictures):
    features, truth = drawn(600 // pictures, pictures)
    found = clustering(features)
    assert found.graph.alike == pytest.approx(pictures - 1, rel=0.15, abs=1)
    scores = compare(truth, found.labels)
    assert scores.ari > 0.97
    assert found.num_clusters == scores.num_clusters


@pytest.mark.parametrize("pictures", [50, 70, 100, 180, 500])
def test_individuals_with_more_pictures_than_neighbours_are_looked_at(pictures):
    features, truth = drawn(2400 // pictures, pictures, spread=0.8)
    found = clustering(features)
    assert found.graph.alike == pytest.approx(pictures - 1, rel=0.15)
    assert found.graph.k1 == min(100, round(1.15 * found.graph.alike))
    assert compare(truth, found.labels).ari > 0.97
    assert found.individuals.low <= 2400 // pictures <= found.individuals.high


def test_hundreds_of_pictures_in_bursts():
    # Ten pictures a burst, hardly different; fifteen bursts an individual.
    features, truth = drawn(12, 15, spread=0.5)
    bursts = features.repeat(10, axis=0)
    random = np.random.default_rng(3)
    bursts = bursts + 0.4 * random.standard_normal(bursts.shape)
    found = clustering(bursts)
    assert found.graph.alike == pytest.approx(149, rel=0.15)
    assert compare(truth.repeat(10), found.labels).ari > 0.97


def test_sizes_that_differ():
    sizes = np.random.default_rng(1).integers(4, 30, 60)
    features, truth = drawn(60, sizes)
    assert compare(truth, cluster(features)).ari > 0.95


def test_strangers_stay_alone():
    features, truth = drawn(40, 10)
    strangers = np.random.default_rng(2).standard_normal((60, 32))
    labels = cluster(np.concatenate([features, strangers]))
    scores = compare(np.concatenate([truth, 100 + np.arange(60)]), labels)
    assert scores.ari > 0.9


def test_noise_shows_no_scale():
    features = np.random.default_rng(0).standard_normal((800, 24))
    found = clustering(features).graph
    assert found.alike is None
    assert (found.k1, found.k2) == (12, 4)  # of 800: a 75th, and a little more


def test_bursts_are_not_taken_for_individuals():
    # Two pictures a burst, hardly different; six bursts an individual.
    features, truth = drawn(40, 6, spread=0.55)
    random = np.random.default_rng(5)
    bursts = features.repeat(3, axis=0)
    bursts = bursts + 0.25 * random.standard_normal(bursts.shape)
    found = clustering(bursts)
    assert found.graph.alike > 8
    assert compare(truth.repeat(3), found.labels).ari > 0.8


def test_pairs_and_triangles_by_loops():
    features, _ = drawn(9, 5, spread=0.9, width=8)
    lists = nearest_lists(features.astype(np.float32), 20)
    pairs, triangles = _rises(lists, np.arange(45))
    for k in (1, 2, 3, 7, 20):
        near = [set(row[1 : k + 1].tolist()) for row in lists]
        mutual = [{j for j in near[i] if i in near[j]} for i in range(45)]
        assert pairs[k] == pytest.approx(sum(map(len, mutual)) / 45)
        three = sum(len(mutual[i] & mutual[j]) for i in range(45) for j in mutual[i])
        assert triangles[k] == pytest.approx(three / 45 / max(1, k - 1))


def test_scale_of_a_sample():
    features, _ = drawn(60, 8)
    lists = nearest_lists(features.astype(np.float32), 100)
    whole = neighbours_alike(lists)
    few = neighbours_alike(lists, sample=100)
    assert few != whole
    assert few[0] == pytest.approx(whole[0], rel=0.2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(count):
    features = np.eye(3)[:count] + 0.01
    labels = cluster(features)
    assert labels.dtype == np.int32
    assert labels.shape == (count,)
    for number in range(1, count + 1):
        assert cluster(features, num_clusters=number).max() + 1 == number


def test_all_images_alike():
    assert cluster(np.ones((90, 5))).max() + 1 == 1
    assert cluster(np.ones((6, 5)), num_clusters=1).tolist() == [0] * 6


def test_a_number_is_kept():
    features, truth = drawn(20, 8)
    for number in (1, 7, 20, 90, 160):
        labels = cluster(features, num_clusters=number)
        assert np.unique(labels).tolist() == list(range(number))
    assert compare(truth, cluster(features, num_clusters=20)).ari > 0.97


def test_the_default_distance():
    features, _ = drawn(20, 8, spread=1.0)
    plain = cluster(features)
    np.testing.assert_array_equal(plain, cluster(features, max_distance=MAX_DISTANCE))
    assert cluster(features, max_distance=0.2).max() > plain.max()


def test_cameras_and_links_pass_through():
    features, truth = drawn(20, 8)
    of = np.arange(160) % 2
    features = features + 2.5 * of[:, None]
    with_cameras = compare(truth, cluster(features, cameras=of)).ari
    assert with_cameras > compare(truth, cluster(features)).ari + 0.1
    must, cannot = [(0, 159)], [(1, 2), (40, 41)]
    labels = cluster(features, cameras=of, must_link=must, cannot_link=cannot)
    assert labels[0] == labels[159]
    assert labels[1] != labels[2]
    assert labels[40] != labels[41]


@given(
    st.integers(1, 14),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=3),
)
@settings(deadline=None, max_examples=100)
def test_any_small_set(count, width, seed, pairs):
    random = np.random.default_rng(seed)
    features = random.integers(-1, 2, (count, width)) + 0.5
    pairs = [(i % count, j % count) for i, j in pairs]
    must, cannot = pairs[:1], [(i, j) for i, j in pairs[1:] if i != j]
    if any({*must[0]} == {*pair} for pair in cannot):
        with pytest.raises(InputError, match="keeps apart rows"):
            cluster(features, must_link=must, cannot_link=cannot)
        return
    labels = cluster(features, must_link=must, cannot_link=cannot)
    first = np.unique(labels, return_index=True)[1]
    assert (np.diff(first) > 0).all()
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert all(labels[i] == labels[j] for i, j in must)
    assert all(labels[i] != labels[j] for i, j in cannot)
    same = copies(unit_features(features))
    of_one = np.unique(np.stack([same, labels])[:, same >= 0], axis=1)
    assert cannot or len(of_one[0]) == len(set(of_one[0]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"max_distance": 2}, "max_distance=2: give 0..1"),
        ({"num_clusters": 41}, "num_clusters=41 of 40 images"),
        ({"num_clusters": 3, "max_distance": 0.5}, "give one of them"),
        ({"cameras": [1, 2]}, "cameras has shape"),
        ({"must_link": [(0, 40)]}, "must_link names row 40 of 40 images"),
    ],
)
def test_refuses(arguments, says):
    with pytest.raises(InputError, match=says):
        cluster(drawn(5, 8)[0], **arguments)
