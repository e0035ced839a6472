"""Clusters that hold at distances around theirs, against the whole matrix of pairs."""

import numpy as np
import pytest

from fgu_jax.clustering import self_paced, with_those_alone

N = 80


def _by_matrix(labels, tight, loose, most=None):
    """As SpCL's code: N x N memberships, then the least of each cluster."""
    own, tight, loose = (with_those_alone(x) for x in (labels, tight, loose))
    same, same_tight, same_loose = (x[:, None] == x[None] for x in (own, tight, loose))

    def apart(other):
        both, either = (same & other).sum(1), (same | other).sum(1)
        return np.float32(1 - both / either)

    compact, independent = apart(same_tight), apart(same_loose)
    count = np.bincount(own)
    least = [compact[own == c].min() for c in range(len(count))]
    of = np.array([independent[own == c].min() for c in range(len(count))])
    several = np.sort(of[count > 1])
    if most is None:
        most = several[min(len(several) - 1, round(0.9 * len(several)))]
    stays = [
        of[c] <= most and compact[i] <= least[c] and count[c] > 1
        for i, c in enumerate(own)
    ]
    return np.where(stays, own, -1), most


def _drawn(seed):
    """Clusters, some cut in two at the tight distance, some joined at the loose one."""
    rng = np.random.default_rng(seed)
    labels = np.unique(rng.integers(0, 20, N), return_inverse=True)[1]
    labels[rng.random(N) < 0.1] = -1
    labels[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)[1]
    half = rng.random(N) < 0.8
    tight = np.where(half | (labels % 3 > 0), labels, labels + 100)
    tight = np.where(labels < 0, -1, np.unique(tight, return_inverse=True)[1])
    loose = np.where(labels % 5 == 0, 0, labels)
    loose = np.unique(loose, return_inverse=True)[1]
    tight[tight >= 0] = np.unique(tight[tight >= 0], return_inverse=True)[1]
    return labels, tight, loose


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_matrix_of_pairs(seed):
    drawn = _drawn(seed)
    wanted, most = _by_matrix(*drawn)
    found, measured = self_paced(*drawn)
    assert measured == most
    kept = np.unique(wanted[wanted >= 0], return_inverse=True)[1]
    np.testing.assert_array_equal(found[found >= 0], kept)
    np.testing.assert_array_equal(found < 0, wanted < 0)
    assert 0 < (found < 0).sum() - (drawn[0] < 0).sum() < N


def test_the_first_clusters_set_what_later_ones_are_held_to():
    labels, tight, loose = _drawn(0)
    strict, most = self_paced(labels, tight, loose, most=0.0)
    assert most == 0
    wanted, _ = _by_matrix(labels, tight, loose, 0.0)
    np.testing.assert_array_equal(strict < 0, wanted < 0)
    lax, _ = self_paced(labels, tight, loose, most=1.0)
    assert (strict < 0).sum() > (lax < 0).sum()


def test_clusters_that_do_not_change_all_stay():
    labels, _, _ = _drawn(1)
    alone = (np.bincount(labels[labels >= 0]) == 1)[labels] | (labels < 0)
    found, most = self_paced(labels, labels, labels)
    assert most == 0
    np.testing.assert_array_equal(found < 0, alone)


def test_images_all_alone_stay_so():
    found, most = self_paced(np.arange(5), np.arange(5), np.arange(5))
    assert found.tolist() == [-1] * 5
    assert most == 1
