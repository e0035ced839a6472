"""How images stand to their clusters, against a loop over a dense matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import alike, clustering, standing
from fgu_jax.errors import InputError


def _graph(seed, count, share=0.4):
    random = np.random.default_rng(seed)
    dense = random.random((count, count)) * (random.random((count, count)) < share)
    dense = np.triu(dense, 1).astype(np.float32)
    labels = random.integers(0, max(1, count // 3), count)
    return dense + dense.T, np.unique(labels, return_inverse=True)[1]


def _slow(dense, labels):
    """own, other similarity, nearest: mean over the images of a cluster."""
    own, other, nearest = [], [], []
    for i in range(len(labels)):
        means = {}
        for c in range(labels.max() + 1):
            rows = [j for j in range(len(labels)) if labels[j] == c and j != i]
            means[c] = float(np.mean([dense[i, j] for j in rows])) if rows else 0.0
        own.append(means.pop(labels[i]))
        best = max(means, key=lambda c: (means[c], -c), default=-1)
        found = means.get(best, 0.0)
        nearest.append(best if found > 0 else -1)
        other.append(found)
    return own, other, nearest


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 24), st.sampled_from([0.1, 0.5, 1.0]))
def test_standing_against_a_loop(seed, count, share):
    dense, labels = _graph(seed, count, share)
    found = standing(sp.csr_array(dense), labels)
    own, other, nearest = _slow(dense.astype(np.float64), labels)
    np.testing.assert_allclose(found.own, own, atol=1e-12)
    np.testing.assert_allclose(found.other, other, atol=1e-12)
    assert found.nearest.tolist() == nearest
    alone = np.bincount(labels)[labels] == 1
    assert (found.confidence[alone] == 0).all()
    assert ((found.confidence[~alone] > 0) & (found.confidence[~alone] < 1)).all()


def test_confidence_rises_with_what_an_image_shares():
    dense = np.full((4, 4), 0.9) - 0.9 * np.eye(4)
    dense[3, :3] = dense[:3, 3] = 0.2
    sure = standing(sp.csr_array(dense), [0, 0, 0, 0]).confidence
    assert sure[0] > sure[3] + 0.2
    assert sure[0] == sure[1] == sure[2]


def test_confidence_by_hand():
    graph = sp.csr_array([[0, 0.5], [0.5, 0]])  # odds of 0
    for step in (0.0, 0.4):
        score = 1.37 + 0.19 * np.log(0.03 + step)
        found = standing(graph, [0, 0], step=step).confidence
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-score)), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 24))
def test_alike_against_a_loop(seed, count):
    dense, labels = _graph(seed, count)
    pairs, similarity = alike(sp.csr_array(dense), labels, most=5)
    slow = []
    for a in range(labels.max() + 1):
        for b in range(a + 1, labels.max() + 1):
            block = dense[np.ix_(labels == a, labels == b)].astype(np.float64)
            if block.any():
                slow.append((-block.mean(), a, b))
    slow = sorted(slow)[:5]
    np.testing.assert_allclose(similarity, [-s for s, _, _ in slow], atol=1e-12)
    if len({round(s, 9) for s, _, _ in slow}) == len(slow):
        assert pairs.tolist() == [[a, b] for _, a, b in slow]


def test_images_of_clear_groups_are_sure_and_what_lies_between_is_not():
    random = np.random.default_rng(0)
    centres = random.standard_normal((20, 32))
    truth = np.repeat(np.arange(20), 8)
    features = centres[truth] + 0.35 * random.standard_normal((160, 32))
    features[0] = centres[0] + centres[1]
    made = clustering(features)
    sure = made.standing.confidence
    assert np.median(sure) > 0.9
    assert sure[0] < np.quantile(sure, 0.1)
    assert made.individuals.low <= 20 <= made.individuals.high


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 0], r"labels has shape \(2,\): .* 3 images"),
        ([0, 2, 2], "labels 0 to 2 are not dense"),
        ([-1, 0, 0], "labels -1 to 0 are not dense"),
        ([0.0, 0.0, 1.0], "give integers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, says):
    graph = sp.csr_array((3, 3), dtype=np.float32)
    with pytest.raises(InputError, match=says):
        standing(graph, labels)
    with pytest.raises(InputError, match=says):
        alike(graph, labels)
