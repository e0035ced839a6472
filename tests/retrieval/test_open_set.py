"""The distance within which few queries meet a stranger, against plain loops."""

import numpy as np
import pytest

from fgu_jax import retrieval
from fgu_jax.errors import InputError


def _features(rng, ids):
    x = np.eye(64)[ids] + rng.normal(0, 0.2, (len(ids), 64))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("f4")


def _split(seed=0, queries=150, gallery=300):
    rng = np.random.default_rng(seed)
    ids = [rng.integers(1, 40, n) for n in (queries, gallery)]
    ids[0][:20] += 100  # of nobody in the gallery
    ids[1][:10], ids[1][10:20] = -1, 0  # junk, and distractors
    cameras = [rng.integers(1, 4, len(i)) for i in ids]
    x = [_features(rng, i % 64) for i in ids]
    named = {"query_ids": ids[0], "gallery_ids": ids[1]}
    return x, named | {"query_cameras": cameras[0], "gallery_cameras": cameras[1]}


def _slow(x, ids, share):
    far = np.linalg.norm(x[0][:, None].astype("f8") - x[1][None].astype("f8"), axis=2)
    other, own = [], []
    for q, row in enumerate(far):
        met = ids["gallery_ids"] != -1
        same = ids["gallery_ids"] == ids["query_ids"][q]
        other.append(row[met & ~same].min())
        same &= ids["gallery_cameras"] != ids["query_cameras"][q]
        if same.any():
            own.append(row[same].min())
    other, own = np.array(other), np.array(own)
    reaches = [0, *other] if share == 1 else [0, *other - 1e-9]
    reach = max(d for d in reaches if (other <= d).mean() <= share)
    return reach, (other <= reach).mean(), (own <= reach).mean()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.3])
def test_against_loops(share):
    x, ids = _split()
    found = retrieval.open_set(*x, **ids, strangers=share)
    reach, strangers, own = _slow(x, ids, share)
    assert found.max_distance == pytest.approx(reach, abs=1e-6)
    assert found.strangers == pytest.approx(strangers)
    assert found.strangers <= share
    assert found.found == pytest.approx(own)
    assert found.found < 1


def test_every_stranger_may_be_met():
    x, ids = _split()
    found = retrieval.open_set(*x, **ids, strangers=1.0)
    assert found.strangers == 1
    assert found.found == pytest.approx(_slow(x, ids, 1.0)[2])


def test_copies_of_a_query_are_neither_found_nor_strangers():
    query, gallery = [[1.0, 0.0]], np.eye(2)
    ids = {"query_ids": [1], "gallery_ids": [2, 2]}
    copies = {"query_copies": [7], "gallery_copies": [7, -1]}
    assert retrieval.open_set(query, gallery, **ids).max_distance == 0
    found = retrieval.open_set(query, gallery, **ids, **copies)
    assert found.max_distance == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strangers": 1.5}, "strangers is 1.5: give a share of the queries, 0..1"),
        ({"gallery_ids": [1, 1]}, "none of 1 queries has a stranger among 2 gallery"),
    ],
)
def test_what_cannot_be_told_is_refused(changes, said):
    given = {"query_ids": [1], "gallery_ids": [1, 2]} | changes
    with pytest.raises(InputError, match=said):
        retrieval.open_set([[1.0, 0.0]], np.eye(2), **given)
