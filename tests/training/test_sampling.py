"""Batches by cluster: P x K, other cameras first, what is scarce comes again."""

import numpy as np
import pytest

from fgu_jax.training.sampling import clusters_order

RNG = np.random.default_rng(0)
LABELS = np.concatenate([RNG.integers(0, 12, 190), np.full(10, -1)])
CAMERAS = RNG.integers(0, 3, 200)


def _batches(labels, *, batch=16, per_cluster=4, epochs=(1,), cameras=None, seed=0):
    for epoch in epochs:
        yield from clusters_order(
            seed, epoch, labels, batch, per_cluster=per_cluster, cameras=cameras
        )


def test_a_batch_is_p_clusters_of_k_images():
    order = clusters_order(0, 1, LABELS, 16, per_cluster=4)
    assert order.dtype == np.int32
    assert order.shape == (200 // 16, 16)
    for batch in order:
        of = LABELS[batch]
        assert (of >= 0).all()
        assert np.unique(of, return_counts=True)[1].tolist() == [4] * 4
        assert len(set(batch.tolist())) == 16  # clusters of 4 and more: none twice


def test_all_clusters_come_before_one_comes_again():
    first = np.concatenate([LABELS[b][::4] for b in _batches(LABELS, epochs=(1, 2))])
    for start in (0, 12, 24):
        assert set(first[:36][start : start + 12].tolist()) == set(range(12))


def test_it_is_a_function_of_seed_and_epoch():
    def drawn(seed, epoch):
        return clusters_order(seed, epoch, LABELS, 16, per_cluster=4).tolist()

    assert drawn(3, 2) == drawn(3, 2)
    assert drawn(3, 2) != drawn(3, 1)
    assert drawn(3, 2) != drawn(2, 2)


def test_each_image_of_a_cluster_is_as_likely():
    labels = np.repeat([0, 1], 6)
    counts = np.zeros(12)
    for batch in _batches(labels, batch=4, per_cluster=2, epochs=range(400)):
        counts[batch] += 1
    # 400 x 3 x 4 draws of 12 images: 400 each, give or take 5 deviations.
    assert abs(counts - 400).max() < 5 * np.sqrt(400)


def test_other_cameras_come_first():
    for batch in _batches(LABELS, cameras=CAMERAS, epochs=range(5)):
        for four in batch.reshape(4, 4):
            own = LABELS[four[0]] == LABELS
            elsewhere = own & (CAMERAS[four[0]] != CAMERAS)
            assert (CAMERAS[four[1:]] != CAMERAS[four[0]]).all()
            # Both other cameras, where both saw the cluster.
            seen = set(CAMERAS[elsewhere].tolist())
            assert set(CAMERAS[four[1:]].tolist()) == seen


def test_a_cluster_of_one_camera_gives_what_it_has():
    labels, cameras = np.zeros(4, int), np.zeros(4, int)
    (batch,) = clusters_order(0, 1, labels, 4, per_cluster=4, cameras=cameras)
    assert sorted(batch.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("cameras", [None, np.array([0, 1, 0, 0])])
def test_few_images_and_few_clusters_come_again(cameras):
    """A cluster of three and one of one, where 3 x 4 are wanted of them."""
    labels = np.array([0, 0, 0, 1] + [-1] * 8)
    cameras = None if cameras is None else np.r_[cameras, np.zeros(8, int)]
    (batch,) = clusters_order(0, 1, labels, 12, per_cluster=4, cameras=cameras)
    of = labels[batch].reshape(3, 4)
    assert (of == of[:, :1]).all()
    assert set(of[:, 0].tolist()) == {0, 1}
    assert set(batch[labels[batch] == 1].tolist()) == {3}
