"""Images of the very same features are one cluster, as far as links allow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgu_jax.clustering import automatic, cluster, clustering
from fgu_jax.clustering.copies import copies, links_of_copies

NONE = np.empty((0, 2), np.int64)


@pytest.fixture(scope="module")
def people():
    """20 individuals of 8 images, then 40 copies of the first image."""
    random = np.random.default_rng(3)
    features = random.standard_normal((20, 16))[np.repeat(np.arange(20), 8)]
    features = features + 0.5 * random.standard_normal(features.shape)
    return np.concatenate([features, features[:1].repeat(40, axis=0)])


def rows_of_first(features):
    return np.flatnonzero((features == features[0]).all(axis=1))


@pytest.mark.parametrize("count", [2, 3, 4, 6, 10, 15, 24, 90, 300])
def test_all_images_alike_are_one_cluster(count):
    made = clustering(np.ones((count, 4)))
    assert made.labels.tolist() == [0] * count
    assert made.individuals == (1, 1, 1)


def test_copies_among_other_images_are_one_cluster(people):
    rows = rows_of_first(people)
    assert len(rows) == 41
    labels = cluster(people)
    assert len(set(labels[rows])) == 1
    assert labels.max() > 10


def test_a_cannot_link_keeps_copies_apart_and_leaves_the_others(people):
    rows = rows_of_first(people)
    labels = cluster(people, cannot_link=[(rows[0], rows[1]), (rows[1], rows[7])])
    assert labels[rows[1]] != labels[rows[0]] == labels[rows[7]]
    assert np.bincount(labels[rows]).max() == 40


def test_a_must_link_between_copies_kept_apart_from_others_holds():
    features = np.repeat(np.eye(3), 4, axis=0)
    labels = cluster(features, must_link=[(0, 4)], cannot_link=[(4, 1)])
    assert labels[0] == labels[4] != labels[1]


def test_more_clusters_than_different_images_are_had_if_asked_for(people):
    features = np.repeat(np.eye(3), 4, axis=0)
    for number in (1, 2, 3, 5, 12):
        labels = cluster(features, num_clusters=number)
        assert labels.max() + 1 == number
        if number <= 3:
            assert (labels == labels[::4].repeat(4)).all()
    # To a number as well as to a distance.
    assert len(set(cluster(people, num_clusters=30)[rows_of_first(people)])) == 1


def test_new_copies_of_known_images_go_to_them(people):
    rows = rows_of_first(people)
    known = np.full(len(people), -1)
    known[rows[:2]] = 4, 7  # copies that are known to be two
    known[40:60] = 5
    labels = cluster(people, known=known)
    assert labels[rows[0]] != labels[rows[1]]
    assert set(labels[rows[2:]]) == {labels[rows[0]]}
    # A link to another known cluster is stronger.
    labels = cluster(people, known=known, must_link=[(rows[9], 40)])
    assert labels[rows[9]] == labels[40]
    assert set(labels[rows[2:9]]) == {labels[rows[0]]}


def test_copies_are_no_answers_to_learn_from(people, monkeypatch):
    taught = []
    real = automatic.learnt

    def learnt(features, labels, must):
        taught.append(must.tolist())
        return real(features, labels, must)

    monkeypatch.setattr(automatic, "learnt", learnt)
    cluster(people)
    assert taught == []
    cluster(people, must_link=[(8, 9)])
    assert taught == [[[8, 9]]] * 2


def test_without_copies_no_link_is_added(people):
    number = copies(people[:160].astype(np.float32))
    assert (number == -1).all()
    assert links_of_copies(number, NONE, np.array([[0, 1]])).shape == (0, 2)


@given(st.lists(st.lists(st.sampled_from([0.5, 1, 2]), min_size=3, max_size=3)))
def test_copies_against_a_slow_loop(rows):
    # Many of the rows that differ have the same sum.
    features = np.array(rows, np.float32).reshape(len(rows), 3)
    number = copies(features)
    for i, row in enumerate(rows):
        same = [j for j, other in enumerate(rows) if other == row]
        if len(same) == 1:
            assert number[i] == -1
        else:
            assert np.flatnonzero(number == number[i]).tolist() == same
            assert number[i] >= 0
