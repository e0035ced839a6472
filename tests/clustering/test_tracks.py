"""Tracks: images of one individual are clustered by their mean, boxes kept apart."""

import numpy as np
import pytest

from fgu_jax.clustering import cluster, clustering
from fgu_jax.clustering.tracks import (
    pairs_of_tracks,
    seen_together,
    track_groups,
    track_means,
)
from fgu_jax.errors import InputError


@pytest.fixture(scope="module")
def bursts():
    """240 images of 12 individuals in 40 tracks of 6; (features, tracks, truth)."""
    random = np.random.default_rng(3)
    of_track = np.repeat(np.arange(12), 4)[:40]
    centre = random.standard_normal((12, 24))[of_track]
    place = centre + 0.9 * random.standard_normal((40, 24))
    tracks = np.repeat(np.arange(1, 41), 6)
    features = place[tracks - 1] + 0.3 * random.standard_normal((240, 24))
    order = random.permutation(240)
    return features[order], tracks[order], of_track[tracks - 1][order]


def test_a_track_is_never_torn_and_equals_its_mean_clustered_alone(bursts):
    features, tracks, _ = bursts
    made = clustering(features, tracks=tracks)
    for track in np.unique(tracks):
        assert len(np.unique(made.labels[tracks == track])) == 1
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    groups = track_groups(tracks, 240)
    means = np.stack([unit[groups == g].mean(axis=0) for g in range(40)])
    alone = clustering(means)
    np.testing.assert_array_equal(alone.labels[groups], made.labels)
    np.testing.assert_allclose(
        alone.standing.confidence[groups], made.standing.confidence, atol=1e-6
    )
    assert made.individuals == alone.individuals
    assert made.individuals.number <= 40  # of tracks, not of images


def test_bursts_are_not_taken_for_individuals(bursts):
    """Without tracks the nearest images are the burst's own, and nothing joins."""
    features, tracks, truth = bursts
    found, without = cluster(features, tracks=tracks), cluster(features)
    far = [len(np.unique(found)), len(np.unique(without))]
    right = [
        np.mean([len(np.unique(truth[c == k])) == 1 for k in np.unique(c)])
        for c in (found, without)
    ]
    assert far[0] < 30 <= far[1], (far, right)


def test_images_of_no_track_are_each_their_own():
    assert track_groups([0, 3, 0, 3, -1], 5).tolist() == [0, 1, 2, 1, 3]
    eye = np.eye(3, dtype=np.float32)
    found = track_means(eye[[0, 1, 1, 2]], np.array([0, 1, 1, 0]))
    np.testing.assert_allclose(found, [[0.5**0.5, 0, 0.5**0.5], [0, 1, 0]], atol=1e-6)
    opposite = track_means(np.array([[1, 0], [-1, 0]], np.float32), np.array([0, 0]))
    assert opposite.tolist() == [[1, 0]]  # the first stands for what cancels out


def test_links_are_those_of_tracks(bursts):
    features, tracks, _ = bursts
    rows = [np.flatnonzero(tracks == t) for t in (1, 2, 3)]
    pair, other = (rows[0][0], rows[1][1]), (rows[0][3], rows[2][0])
    found = cluster(features, tracks=tracks, must_link=[pair], cannot_link=[other])
    assert found[rows[0][5]] == found[rows[1][4]]
    assert found[rows[0][5]] != found[rows[2][2]]
    with pytest.raises(InputError, match="of one track: take the link back"):
        cluster(features, tracks=tracks, cannot_link=[rows[0][:2]])
    groups = np.array([0, 0, 1, 1])
    pairs = pairs_of_tracks([(0, 2), (3, 1), (0, 1)], groups, "x", apart=False)
    assert pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize("tracks", [[1, 2], [0.5] * 240, [[1]] * 240])
def test_tracks_of_another_kind_are_refused(bursts, tracks):
    with pytest.raises(InputError, match="tracks h"):
        cluster(bursts[0], tracks=tracks)


def test_what_one_picture_shows_is_not_one_individual():
    pictures = ["a", "b", "a", "c", "a", "b"]
    assert seen_together(pictures).tolist() == [[0, 2], [0, 4], [2, 4], [1, 5]]
    # Rows 0 and 5 are of one track, 2 and 1 of another: one pair says that they differ.
    found = seen_together(pictures, [7, 8, 8, 0, 0, 7])
    assert found.tolist() == [[0, 2], [0, 4], [2, 4]]
    assert seen_together(["a", "a"], [5, 5]).shape == (0, 2)
    assert seen_together(["a", "b"]).shape == (0, 2)


def test_neighbours_can_be_given(bursts):
    features, tracks, _ = bursts
    given = clustering(features, tracks=tracks, k1=6, k2=2)
    assert (given.graph.k1, given.graph.k2) == (6, 2)
