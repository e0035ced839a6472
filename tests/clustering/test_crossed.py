"""What hundreds of pictures have in common: taken out where individuals cross it."""

import numpy as np
import pytest

from fgu_jax.clustering import clustering, compare
from fgu_jax.clustering.crossed import _without_common, crossed
from fgu_jax.clustering.graph import unit_features
from fgu_jax.clustering.neighbours import nearest_lists
from fgu_jax.evaluation.clusters import lines


def pictures(sizes, places, strength=1.0, seed=0, width=64):
    """Individuals of so many pictures each, each picture at one of the places."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    where = random.integers(places, size=len(truth))
    middle = random.standard_normal((len(sizes), width))
    place = strength * random.standard_normal((places, width))
    noise = 0.8 * random.standard_normal((len(truth), width))
    return middle[truth] + place[where] + noise, truth, where


@pytest.mark.parametrize("places", [5, 12])
def test_individuals_are_found_across_places(places):
    sizes = np.random.default_rng(2).integers(6, 14, 100)
    features, truth, where = pictures(sizes, places, strength=1.3)
    found = clustering(features)
    of_a_place = len(truth) / places
    assert found.graph.crossed == pytest.approx(of_a_place, rel=0.25)
    assert found.graph.alike == pytest.approx(9, rel=0.2)
    assert compare(truth, found.labels).ari > 0.9
    assert compare(where, found.labels).ari < 0.05
    [said] = [line for line in lines(found, None) if "at a time" in line]
    assert said.startswith(f"some {found.graph.crossed:.0f} pictures")


def test_new_images_go_to_individuals_and_not_to_places():
    features, truth, _ = pictures(np.full(80, 12), 5, strength=1.3)
    known = np.where(np.arange(len(truth)) % 12 < 9, truth, -1)
    labels = clustering(features, known=known).labels
    assert compare(truth, labels).ari > 0.95


@pytest.mark.parametrize(("places", "strength"), [(1, 0.0), (30, 0.5), (20, 0.7)])
def test_individuals_of_hundreds_stay(places, strength):
    features, truth, _ = pictures(np.full(8, 150), places, strength=strength)
    found = clustering(features)
    assert found.graph.crossed is None
    assert found.graph.rest is None
    assert compare(truth, found.labels).ari > 0.97


def test_bursts_within_individuals_of_hundreds_stay():
    bursts, _, _ = pictures(np.full(8, 20), 1, strength=0)
    random = np.random.default_rng(1)
    features = bursts.repeat(8, axis=0)
    features += 0.4 * random.standard_normal(features.shape)
    unit = unit_features(features)
    lists = nearest_lists(unit, 100)
    # Its bursts are a step of what is left, too; but no pair of it is new.
    assert crossed(unit, lists, (159.0, 0.1), nearest_lists) is None
    random.shuffle(lists[:, 1:], axis=1)
    assert crossed(unit, lists, (159.0, 0.1), nearest_lists) is not None


def test_individuals_of_tens_are_not_asked_about():
    unit = unit_features(pictures(np.full(10, 12), 1)[0])
    lists = nearest_lists(unit, 100)

    def lists_of(*_):
        pytest.fail("another look at all neighbours")

    assert crossed(unit, lists, (45.0, 1.0), lists_of) is None


def test_copies_of_a_few_pictures():
    features = np.random.default_rng(0).standard_normal((6, 16)).repeat(100, axis=0)
    found = clustering(features)
    assert found.num_clusters == 6
    assert np.isfinite(found.graph.similarities.data).all()


def test_what_is_common_by_a_loop():
    unit = unit_features(np.random.default_rng(0).standard_normal((50, 8)))
    lists = nearest_lists(unit, 7)
    rest = _without_common(unit, lists)
    for row, near in enumerate(lists):
        left = unit[row] - np.mean([unit[j] for j in near[1:]], axis=0)
        assert rest[row] == pytest.approx(left / np.linalg.norm(left), abs=1e-6)
