"""Scores of clusters: by hand, and held against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from fgu_jax.clustering import ClusterScores, compare
from fgu_jax.errors import InputError

NUMBERS = st.lists(st.tuples(st.integers(-1, 4), st.integers(-3, 4)), min_size=1)


def test_by_hand():
    # Pairs of one identity: 3 + 1; of one cluster: 1 + 1 + 0; of both: 1.
    scores = compare([5, 5, 5, 6, 6], [0, 0, 1, 1, 2])
    assert scores.pair_precision == 1 / 2
    assert scores.pair_recall == 1 / 4
    assert scores.pair_f1 == 1 / 3
    # (1 - 4 * 2 / 10) / ((4 + 2) / 2 - 4 * 2 / 10)
    assert scores.ari == pytest.approx(0.2 / 2.2, abs=1e-15)
    assert scores.purity == 4 / 5
    assert (scores.num_clusters, scores.num_identities) == (3, 2)


@given(NUMBERS)
@settings(deadline=None, max_examples=200)
def test_agrees_with_scikit_learn(pairs):
    truth, labels = np.array(pairs).T
    known = truth >= 0
    if not known.any():
        with pytest.raises(InputError, match="none of"):
            compare(truth, labels)
        return
    scores = compare(truth, labels)
    a, b = truth[known], labels[known]
    assert scores.ari == pytest.approx(metrics.adjusted_rand_score(a, b), abs=1e-12)
    assert scores.nmi == pytest.approx(
        metrics.normalized_mutual_info_score(a, b), abs=1e-9
    )
    assert scores.v_measure == pytest.approx(metrics.v_measure_score(a, b), abs=1e-9)
    (_, wrong), (missed, right) = metrics.cluster.pair_confusion_matrix(a, b).tolist()
    assert scores.pair_precision == (right / (right + wrong) if right + wrong else 1)
    assert scores.pair_recall == (right / (right + missed) if right + missed else 1)
    table = metrics.cluster.contingency_matrix(a, b)
    assert scores.purity == table.max(axis=0).sum() / len(a)
    assert scores.num_clusters == table.shape[1]


def test_is_exact_where_pairs_of_pairs_pass_64_bits():
    truth = np.repeat(np.arange(3), 200_000)
    scores = compare(truth, truth)
    assert scores == ClusterScores(1, 1, 1, 1, 1, 1, 1, 3, 3)
    halves = compare(truth, np.arange(600_000) % 2)
    assert abs(halves.ari) < 1e-5


def test_one_image():
    assert compare([3], [9]) == ClusterScores(1, 1, 1, 1, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("truth", "labels", "says"),
    [
        ([-1, -1], [0, 1], "none of 2 images has an identity"),
        ([1, 2, 3], [0, 1], r"labels has shape \(2,\): .* 3 images"),
        ([0.5, 1], [0, 1], "truth holds float64"),
        ([], [], "none of 0|truth holds"),
    ],
)
def test_refuses(truth, labels, says):
    with pytest.raises(InputError, match=says):
        compare(truth, labels)
