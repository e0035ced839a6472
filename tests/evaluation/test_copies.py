"""A query is never answered by a copy of itself; what cannot be ranked says why."""

import numpy as np
import pytest
from drawn_trees import put

from fgu_jax import retrieval
from fgu_jax.data import Labels, load_dataset
from fgu_jax.data.copies import find_copies
from fgu_jax.evaluation.judge import Judge
from fgu_jax.evaluation.matches import num_ranked, why_none


def collection(root, *, copies):
    """Queries that are, or are not, copies of gallery files."""
    for i in range(4):
        for j in range(3):
            put(root / "train" / f"{i:03d}_{j}.png", i, j)
            put(root / "gallery" / f"{i + 8:03d}_{j}.png", i + 8, j)
        put(root / "query" / f"{i + 8:03d}_q.png", i + 8, 0 if copies else 7)
    return load_dataset("folder", data_dir=root, pattern="{split}/{identity}_*.png")


def by_pixels(images):
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def test_copies_never_answer_and_their_number_is_told(tmp_path):
    data = collection(tmp_path, copies=True)
    judge = Judge(data, 64, 32)
    assert judge.note == (
        "4 of 4 queries are files of the same bytes as gallery images: a query is "
        "never ranked against a copy of itself"
    )
    query, gallery = judge.test
    figures = judge.handcrafted("pixels", by_pixels)
    # A slow ranking without the copies has the same mean precision.
    a, b = by_pixels(query.images), by_pixels(gallery.images)
    precisions = []
    for row in range(len(a)):
        own = query.labels.copies[row]
        kept = np.flatnonzero(gallery.labels.copies != own)
        assert len(kept) == len(b) - 1
        order = kept[np.argsort(np.linalg.norm(b[kept] - a[row], axis=1))]
        hits = gallery.labels.identities[order] == query.labels.identities[row]
        ranks = np.flatnonzero(hits) + 1
        precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    assert figures["pixels_mAP"] == pytest.approx(np.mean(precisions))


def test_without_copies_nothing_is_left_out_or_told(tmp_path):
    judge = Judge(collection(tmp_path, copies=False), 64, 32)
    assert judge.note is None
    assert (judge.test[1].labels.copies == -1).all()


def test_a_copy_under_another_name_of_the_same_folder(tmp_path):
    for name in ("a_0", "a_1"):
        put(tmp_path / f"{name}.png", 1, 0)  # one picture, two names
    for k in range(2):
        put(tmp_path / f"b_{k}.png", 2, k)
    data = load_dataset("folder", data_dir=tmp_path, pattern="{identity}_*.png")
    judge = Judge(data, 64, 32)
    assert judge.note.startswith("1 of 2 queries")
    ranked = retrieval.evaluate(
        *(by_pixels(split.images) for split in judge.test),
        query_ids=judge.test[0].labels.identities,
        gallery_ids=judge.test[1].labels.identities,
        query_cameras=judge.test[0].labels.cameras,
        gallery_cameras=judge.test[1].labels.cameras,
        query_copies=judge.test[0].labels.copies,
        gallery_copies=judge.test[1].labels.copies,
    )
    assert (ranked.num_queries, ranked.num_skipped) == (1, 1)


def test_all_queries_copied_is_said(tmp_path):
    put(tmp_path / "train" / "1_0.png", 1)
    for split in ("query", "gallery"):
        put(tmp_path / split / "2_0.png", 2)
    pattern = "{split}/{identity}_*.png"
    judge = Judge(load_dataset("folder", data_dir=tmp_path, pattern=pattern), 64, 32)
    assert "but copies of its own file" in judge.warning


def test_boxes_of_one_file_are_no_copies(tmp_path):
    put(tmp_path / "images" / "a.png")
    table = tmp_path / "t.csv"
    table.write_text('image,identity,bbox\na.png,x,"0,0,9,9"\na.png,x,"9,9,9,9"\n')
    data = load_dataset("folder", data_dir=tmp_path / "images", table=table)
    *labels, told = find_copies(
        data.query, data.query_labels, data.gallery, data.gallery_labels
    )
    assert told is None
    assert len(set(labels[1].copies.tolist())) == 2


# 11: one camera.
def test_one_camera_names_the_mend(tmp_path):
    for i in range(3):
        for j in range(2):
            put(tmp_path / f"{i}_c1_{j}.png", i, j)
    pattern = "{identity}_c{camera}_*.png"
    judge = Judge(load_dataset("folder", data_dir=tmp_path, pattern=pattern), 64, 32)
    assert judge.warning == (
        "nothing to evaluate: none of 3 queries has a match among 6 gallery images "
        "(images of its identity and another camera), and all are of one camera: leave "
        "the camera out of the pattern or table, to rank within a camera"
    )


def test_each_identity_alone_is_another_reason():
    one = Labels(identities=[1, 2, -1], cameras=[1, 2, 3])
    assert why_none(one.take([0]), one).startswith(
        "none of 1 queries has a match among 2 gallery images: no identity has an image"
    )
    assert "no identity is in both" in why_none(one.take([0]), one.take([1]))
    assert num_ranked(one) == 2
