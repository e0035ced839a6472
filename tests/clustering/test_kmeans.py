"""k-means against SciPy's, slow loops and its own invariants."""

import hypothesis
import numpy as np
import pytest
import scipy.cluster.vq
from hypothesis import strategies as st

from fgu_jax.clustering.kmeans import kmeans, reliable_samples
from fgu_jax.errors import InputError


def _blobs(seed, sizes=(30, 50, 20), dim=5, apart=20.0):
    draw = np.random.default_rng(seed)
    truth = draw.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = apart * np.eye(len(sizes), dim)
    return centres[truth] + draw.normal(size=(len(truth), dim)), truth


def _same_partition(first, second):
    pairs = np.unique(np.stack([first, second]), axis=1)
    return len(np.unique(first)) == len(np.unique(second)) == pairs.shape[1]


@pytest.mark.parametrize("seed", range(3))
def test_finds_groups_that_lie_apart_wherever_they_lie(seed):
    x, truth = _blobs(seed)
    for offset in (0.0, 1e4):
        labels, centres = kmeans(x + offset, 3, seed=seed)
        assert _same_partition(labels, truth)
        means = [(x[labels == k] + offset).mean(0) for k in range(3)]
        np.testing.assert_allclose(centres, means, atol=0.01, rtol=0)


def test_is_where_another_implementation_stays():
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    labels, centres = kmeans(x, 7, seed=1, iterations=500)
    # From our centres SciPy's iterations go nowhere: it is a fixed point of both.
    theirs, same = scipy.cluster.vq.kmeans2(
        x.astype(np.float64), centres.astype(np.float64), iter=5, minit="matrix"
    )
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_allclose(centres, theirs, atol=1e-5)


def test_labels_are_numbered_by_appearance_and_seeds_repeat():
    x = np.random.default_rng(0).normal(size=(60, 3))
    labels, _ = kmeans(x, 9, seed=4)
    first = [int(np.argmax(labels == k)) for k in range(9)]
    assert labels.dtype == np.int32
    assert first == sorted(first)
    assert labels[0] == 0
    np.testing.assert_array_equal(labels, kmeans(x, 9, seed=4)[0])
    assert not np.array_equal(labels, kmeans(x, 9, seed=5)[0])


def test_first_centres_are_drawn_by_squared_distance():
    # One far point among many copies is always the second centre.
    x = np.zeros((50, 2))
    x[17] = 100.0
    for seed in range(5):
        labels, _ = kmeans(x, 2, seed=seed, iterations=1)
        assert np.flatnonzero(labels != np.bincount(labels).argmax()).tolist() == [17]


@hypothesis.given(
    st.lists(st.integers(-3, 3), min_size=9, max_size=9), st.sampled_from([1, 4, 9])
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_no_cluster_is_empty_even_among_copies(points, count):
    labels, centres = kmeans(np.array(points, float)[:, None], count)
    assert sorted(set(labels.tolist())) == list(range(count))
    assert centres.shape == (count, 1)


def test_more_iterations_are_never_worse():
    x = np.random.default_rng(3).normal(size=(200, 3))

    def cost(iterations):
        labels, centres = kmeans(x, 10, iterations=iterations)
        return np.sum((x - centres[labels]) ** 2)

    costs = [cost(n) for n in (1, 2, 5, 50)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_blocks_that_do_not_divide_the_rows_change_nothing(monkeypatch):
    x = np.random.default_rng(0).normal(size=(101, 4)) + 50
    labels, centres = kmeans(x, 7)
    monkeypatch.setattr("fgu_jax.clustering.kmeans._BLOCK_NUMBERS", 70)
    again, others = kmeans(x, 7)
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_array_equal(others, centres)
    slow = np.linalg.norm(x[:, None] - centres[None], axis=2).argmin(1)
    np.testing.assert_array_equal(labels, slow)


def test_reliable_samples_against_a_loop():
    draw = np.random.default_rng(0)
    x, labels = draw.normal(size=(40, 3)), np.repeat(np.arange(8), 5)
    cosine = np.empty(40)
    for i in range(40):
        centre = x[labels == labels[i]].mean(0)
        cosine[i] = x[i] @ centre / np.linalg.norm(x[i]) / np.linalg.norm(centre)
    expected = cosine > 0.9
    for k in range(8):
        members = np.flatnonzero(labels == k)
        expected[members[cosine[members].argmax()]] = True
    found = reliable_samples(x, labels, threshold=0.9)
    np.testing.assert_array_equal(found, expected)
    assert 8 <= found.sum() < 40
    assert reliable_samples(x, labels, threshold=1.0).sum() == 8
    assert reliable_samples(x, labels, threshold=-1.0).all()


def test_bad_arguments():
    x = np.eye(3)
    with pytest.raises(InputError, match="4 clusters of 3 images"):
        kmeans(x, 4)
    with pytest.raises(InputError, match="0 clusters of 3"):
        kmeans(x, 0)
    with pytest.raises(InputError, match="iterations is 0"):
        kmeans(x, 2, iterations=0)
    with pytest.raises(InputError, match=r"features are \[3\]"):
        kmeans(np.ones(3), 1)
    with pytest.raises(InputError, match="not finite"):
        kmeans(np.full((3, 2), np.nan), 1)
    with pytest.raises(InputError, match="not dense"):
        reliable_samples(x, [0, 2, 2])
    with pytest.raises(InputError, match="not dense"):
        reliable_samples(x, [0, -1, 1])
    with pytest.raises(InputError, match="an integer a row"):
        reliable_samples(x, [0, 0])
    with pytest.raises(InputError, match="threshold is 2"):
        reliable_samples(x, [0, 0, 0], threshold=2)
