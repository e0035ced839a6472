"""Queries and gallery by track, against means and ranks worked out by hand."""

import numpy as np
import pytest

from fgu_jax.data import Labels
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import protocol, rank
from fgu_jax.evaluation.tracks import ByTrack


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_track_is_the_mean_of_its_images():
    names = ("q0", "q1"), ("g0", "g1", "g2")
    labels = (
        Labels(identities=[1, 1], cameras=[1, 1], tracks=[4, 4]),
        Labels(identities=[1, 1, 2], cameras=[2, 2, 2], tracks=[7, 7, 0]),
    )
    tracks = ByTrack(names, labels)
    query, gallery = unit([[1, 0], [0, 1]]), unit([[1, 1], [1, 0], [0, 1]])
    found = tracks(query, gallery)
    np.testing.assert_allclose(found[0], unit([[1, 1]]), atol=1e-6)
    mean = (gallery[0] + gallery[1]) / 2
    np.testing.assert_allclose(found[1], unit([mean, [0, 1]]), atol=1e-6)
    assert tracks.labels[0].identities.tolist() == [1]
    assert tracks.labels[1].identities.tolist() == [1, 2]
    assert tracks.labels[1].cameras.tolist() == [2, 2]
    metrics = rank(*found, *tracks.labels)
    assert (metrics.num_queries, metrics.rank1) == (1, 1.0)


def test_without_cameras_a_query_never_meets_its_own_track():
    # The gallery is all images; the queries are the first of each identity, in it.
    names = ("a0", "b0"), ("a0", "a1", "a2", "a3", "b0", "b1")
    gallery = Labels(
        identities=[1, 1, 1, 1, 2, 2],
        cameras=np.arange(6),
        tracks=[5, 5, 6, 6, 7, 8],
        own_cameras=True,
    )
    query = gallery.take([0, 4])
    tracks = ByTrack(names, (query, gallery))
    features = unit([[1, 0], [1, 0.2], [0.8, 1], [1, 1], [0, 1], [0.1, 1]])
    of_query, of_gallery = tracks(features[[0, 4]], features)
    np.testing.assert_allclose(of_query[0], of_gallery[0])  # both of a0's images
    assert len(of_gallery) == 4
    metrics = rank(of_query, of_gallery, *tracks.labels)
    assert metrics.num_queries == 2
    # Of a: track 6 is behind neither; of b: its other image is first.
    gaps = np.linalg.norm(of_query[0] - of_gallery[1:], axis=1)
    place = 1 + np.sum(gaps < gaps[0])
    assert metrics.mAP == pytest.approx((1 / place + 1) / 2)
    assert "no cameras are known" in protocol(tracks.labels[1], ("hits",))


def test_cameras_that_took_one_image_each_are_cameras():
    labels = (
        Labels(identities=[1], cameras=[1], tracks=[4]),
        Labels(identities=[1, 1, 2], cameras=[1, 2, 3], tracks=[5, 6, 7]),
    )
    tracks = ByTrack((("q",), ("a", "b", "c")), labels)
    assert tracks.labels[0].cameras.tolist() == [1]
    assert tracks.labels[1].cameras.tolist() == [1, 2, 3]
    for gallery in (labels[1], tracks.labels[1]):
        said = protocol(gallery, ("hits",))
        assert "of the query's identity and camera are left out" in said


def test_no_tracks_are_refused():
    labels = Labels(identities=[1], cameras=None)
    with pytest.raises(InputError, match="no track is known"):
        ByTrack((("a",), ("b",)), (labels, labels))
