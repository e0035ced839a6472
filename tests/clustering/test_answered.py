"""What a yes takes along, and what answers teach of features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import cluster, clustering, compare, tree
from fgu_jax.clustering.answered import kept_apart, with_their_clusters
from fgu_jax.clustering.automatic import _taught
from fgu_jax.clustering.graph import graph_of
from fgu_jax.clustering.links import as_pairs, once, start
from fgu_jax.clustering.metric import learnt


def drawn(spread=0.6, seed=0, identities=12, pictures=8, width=24):
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(identities), pictures)
    middle = random.standard_normal((identities, width))
    return middle[truth] + spread * random.standard_normal((len(truth), width)), truth


def test_a_yes_joins_the_two_clusters():
    features, truth = drawn()
    before = cluster(features)
    assert compare(truth, before).ari > 0.99
    after = cluster(features, must_link=[(3, 20)])
    assert len(set(after[truth == 0]) | set(after[truth == 2])) == 1
    assert after.max() == before.max() - 1


def test_but_not_against_a_no_between_others_of_them():
    features, truth = drawn()
    labels = cluster(features, must_link=[(3, 20)], cannot_link=[(0, 17)])
    assert labels[3] == labels[20]
    assert labels[0] != labels[17]
    # All others stay where they were.
    rest = np.setdiff1d(np.arange(len(truth)), [3, 20])
    assert compare(truth[rest], labels[rest]).ari > 0.99


def test_a_chain_of_answers_is_honoured():
    features, truth = drawn()
    same = [(8 * k, 8 * k + 9) for k in range(5)]  # 0 is 9, 8 is 17, ...: one another
    chain = [(8 * k + 1, 8 * (k + 1)) for k in range(5)]
    labels = cluster(features, must_link=same + chain)
    assert len(set(labels[: 6 * 8])) == 1
    assert compare(truth[6 * 8 :], labels[6 * 8 :]).ari > 0.99


@given(st.integers(2, 16), st.integers(0, 2**32 - 1), st.data(), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_answers_that_have_a_truth_are_honoured(count, seed, data, to_number):
    random = np.random.default_rng(seed)
    features = random.integers(-1, 2, (count, 3)) + 0.5
    truth = random.integers(0, 4, count)
    row = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(row, row), max_size=12))
    must = [(i, j) for i, j in pairs if truth[i] == truth[j]]
    cannot = [(i, j) for i, j in pairs if truth[i] != truth[j]]
    groups, apart = start(count, must, cannot)
    linked = np.unique(np.array(pairs, int))
    all_apart = kept_apart(groups, apart, linked)
    first = tree(np_graph(features), max_distance=0.73, cannot_link=all_apart)
    labels = first.after(len(first.first))
    more = with_their_clusters(labels, as_pairs(must, "must", count), all_apart)
    start(count, more, cannot)  # refuses what contradicts
    found = clustering(
        features,
        must_link=must,
        cannot_link=cannot,
        num_clusters=int(groups.max()) + 1 if to_number else None,
    ).labels
    assert all(found[i] == found[j] for i, j in must)
    assert all(found[i] != found[j] for i, j in cannot)


def np_graph(features):
    from fgu_jax.clustering import neighbour_graph

    return neighbour_graph(features)


def test_rows_of_groups_are_kept_apart_by_loops():
    random = np.random.default_rng(0)
    for _ in range(50):
        groups = np.concatenate([random.integers(0, 4, 6), np.arange(4)])
        apart = random.integers(0, 4, (3, 2))
        apart = apart[apart[:, 0] != apart[:, 1]]
        rows = np.flatnonzero(random.random(10) < 0.7)
        found = kept_apart(groups, apart, rows).tolist()
        expected = {
            frozenset((i, j))
            for a, b in apart
            for i in rows
            for j in rows
            if groups[i] == a and groups[j] == b
        }
        assert {frozenset(pair) for pair in found} == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize(("count", "many"), [(1, 1), (3, 40), (60_000, 40), (5, 0)])
def test_pairs_once_are_the_rows_that_numpy_finds(count, many):
    random = np.random.default_rng(count)
    pairs = random.integers(0, count, (many, 2)).astype(np.int32)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    found = once(pairs, count)
    assert found.dtype == np.int64  # 60,000 squared is more than int32 holds
    np.testing.assert_array_equal(found, np.unique(np.sort(pairs, axis=1), axis=0))


def test_a_direction_that_tells_nothing_is_learnt():
    # One loud direction, as of a light, in which every individual spreads.
    features, truth = drawn(spread=0.7, seed=1, identities=20)
    features[:, 0] = 6 * np.random.default_rng(2).standard_normal(len(truth))
    before = compare(truth, cluster(features)).ari
    same = [(8 * k + a, 8 * k + b) for k in range(10) for a, b in ((0, 1), (2, 3))]
    labels = cluster(features, must_link=same)
    others = truth >= 10  # of whom nobody said anything
    assert compare(truth[others], labels[others]).ari > before + 0.2


def test_what_is_learnt_by_hand():
    x = np.array([[0, 3.0], [0, -3], [4, 3], [4, -3]], np.float32)
    must = np.array([[0, 1]])
    labels = np.array([0, 0, 1, 1])
    # d d^T is 18 along the second axis; the clusters' covariance 9, of weight 3.
    total = np.diag([0, 18 + 3 * 9.0])
    even = 45 / (4 * 2)
    spread = (total + 300 * even * np.eye(2)) / 304
    expected = (x - x.mean(axis=0)) / np.sqrt(np.diag(spread))
    np.testing.assert_allclose(learnt(x, labels, must), expected, rtol=1e-6)


@pytest.mark.parametrize("x", [np.ones((4, 3)), np.array([[1, 0], [1, 0], [0, 1.0]])])
def test_nothing_to_learn_changes_nothing(x):
    x = x.astype(np.float32)
    labels = np.zeros(len(x), int)
    must = np.array([[0, 1]])
    found = learnt(x, labels, must)
    assert found is x or (np.linalg.norm(found, axis=1) > 0).all()
    assert cluster(x, must_link=must)[0] == cluster(x, must_link=must)[1]


def test_a_lesson_that_leaves_one_crowd_does_not_set_the_scale():
    random = np.random.default_rng(8)
    first = graph_of(random.standard_normal((154, 96)))
    crowd = np.repeat(np.eye(3), [52, 51, 51], axis=0)
    crowd = crowd + 0.05 * random.standard_normal((154, 3))
    assert graph_of(crowd).k1 > 2 * first.k1  # what the crowd alone would say
    assert _taught(first, crowd, None, None).k1 == first.k1
    groups = np.repeat(np.eye(22), 7, axis=0) + 0.05 * random.standard_normal((154, 22))
    wanted = graph_of(groups).k1
    assert _taught(first, groups, None, None).k1 == wanted <= 2 * first.k1
