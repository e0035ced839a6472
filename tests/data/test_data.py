"""Rows, labels, limits and what cannot be read, on small folders."""

import hashlib
import os
import random
from typing import Any

import numpy as np
import pytest
from small_folders import fill, jpeg, load

from fgu_jax import data as fgu_data
from fgu_jax.data import Labels
from fgu_jax.data.images import FolderSource, ImageSet, row_order
from fgu_jax.data.layouts import tree as tree_module
from fgu_jax.errors import InputError

limit_rows: Any = fgu_data.limit_rows
limit_identities: Any = fgu_data.limit_identities
hold_out_identities: Any = fgu_data.hold_out_identities


def test_rows_go_by_a_hash_of_the_name(market):
    data = load("market1501", data_dir=market)
    digests = [hashlib.sha256(n.encode()).digest() for n in data.train.names]
    assert digests == sorted(digests)
    assert list(data.train.names) != sorted(data.train.names)


def test_a_permuted_listing_gives_the_same_rows(market, monkeypatch):
    want = load("market1501", data_dir=market)
    listed = tree_module._walk

    def shuffled(*arguments):
        names = list(listed(*arguments))
        random.Random(5).shuffle(names)
        return names

    monkeypatch.setattr(tree_module, "_walk", shuffled)
    got = load("market1501", data_dir=market)
    assert got.train.names == want.train.names
    np.testing.assert_array_equal(
        got.gallery_labels.identities, want.gallery_labels.identities
    )
    np.testing.assert_array_equal(got.train.decode(8, 4), want.train.decode(8, 4))


def test_names_that_are_not_utf8_or_not_normal(tmp_path):
    names = ["a b\n.jpg", "e\u0301.jpg", "sub/" + "n" * 240 + ".jpg"]
    fill(tmp_path, names)
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    with open(raw, "wb") as file:
        file.write(jpeg())
    data = load("folder", data_dir=tmp_path)
    assert "\u00e9.jpg" in data.train.names
    assert "\udcff\udcfe.jpg" in data.train.names
    assert data.train.decode(8, 4).shape == (4, 8, 4, 3)


def test_training_images_have_no_identity(market):
    images = load("market1501", data_dir=market).train
    assert set(vars(images)) == {"names", "keys", "source", "boxes", "resize"}
    assert set(vars(images.source)) == {"root"}


def test_bad_images_are_all_named_and_nothing_else_is_lost(market):
    root = market / "Market-1501-v15.09.15" / "bounding_box_train"
    first, second = sorted(root.iterdir())[:2]
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:200])
    data = load("market1501", data_dir=market)
    with pytest.raises(InputError, match=r"2 of 5 images cannot be read") as caught:
        data.train.decode(8, 4)
    assert first.name in str(caught.value)
    assert second.name in str(caught.value)
    data = load("market1501", data_dir=market, skip_bad=True)
    assert set(data.skipped) == {first.name, second.name}
    assert len(data.train) == 3
    assert data.train.decode(8, 4).shape == (3, 8, 4, 3)
    identities = [int(name[:4]) for name in data.train.names]
    assert data.train_labels.identities.tolist() == identities


def test_skipped_images_leave_the_gallery_and_the_queries_too(tmp_path):
    fill(tmp_path, [f"{who}_{i}.jpg" for who in "ab" for i in range(4)])
    (tmp_path / "a_0.jpg").write_bytes(b"")
    (tmp_path / "a_1.jpg").write_bytes(b"")
    data = load("folder", data_dir=tmp_path, pattern="{identity}_*.jpg", skip_bad=True)
    assert len(data.gallery) == len(data.gallery_labels) == 6
    assert len(data.query) == 2
    assert not {"a_0.jpg", "a_1.jpg"} & {*data.gallery.names, *data.query.names}
    # Cameras still name the image alone, in the query as in the gallery.
    for row, name in enumerate(data.query.names):
        at = data.gallery.names.index(name)
        assert data.gallery_labels.cameras[at] == data.query_labels.cameras[row]


def test_a_vanished_image_is_named(market):
    data = load("market1501", data_dir=market)
    root = market / "Market-1501-v15.09.15" / "bounding_box_train"
    (root / data.train.names[3]).unlink()
    with pytest.raises(InputError, match=data.train.names[3]):
        data.train.decode(8, 4)
    with pytest.raises(InputError, match=data.train.names[3]):
        data.train.read(3)


def test_decode_reports_progress_and_keeps_rows(tmp_path):
    fill(tmp_path, [f"{i}.jpg" for i in range(150)])
    images = load("folder", data_dir=tmp_path).train
    calls = []
    pixels = images.decode(8, 4, progress=lambda *call: calls.append(call), threads=3)
    assert calls[-1][:2] == (150, 150)
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    for row in (0, 77, 149):
        np.testing.assert_array_equal(pixels[row], images.take([row]).decode(8, 4)[0])
    values = [int(name[:-4]) for name in images.names]
    assert np.abs(pixels[:, 4, 2, 0].astype(int) - values).max() < 12


def test_limits(market):
    data = load("market1501", data_dir=market)
    assert limit_rows(data, 2).train.names == data.train.names[:2]
    assert limit_rows(data, 2).train_labels.identities.tolist() == (
        data.train_labels.identities[:2].tolist()
    )
    assert limit_rows(data, 99).train.names == data.train.names
    assert limit_rows(data, 2).gallery.names == data.gallery.names
    with pytest.raises(InputError, match="limit=0"):
        limit_rows(data, 0)
    one: Any = limit_identities(data, 1, seed=3)
    assert len(set(one.train_labels.identities.tolist())) == 1
    assert one.train.names == tuple(
        n for n in data.train.names if int(n[:4]) == one.train_labels.identities[0]
    )
    for k in (0, 3):
        with pytest.raises(InputError, match=f"limit_identities={k}: .* 2 identities"):
            limit_identities(data, k)


def test_identities_held_out_become_query_and_gallery(market):
    data = load("market1501", data_dir=market)
    held: Any = hold_out_identities(data, 1, seed=0)
    chosen = set(held.gallery_labels.identities.tolist())
    assert len(chosen) == 1
    assert not chosen & set(held.train_labels.identities.tolist())
    assert sorted(held.train.names + held.gallery.names) == sorted(data.train.names)
    assert len(held.query) == 2
    with pytest.raises(InputError, match="give 1 to 1"):
        hold_out_identities(data, 2)
    picks = {
        tuple(
            set(hold_out_identities(data, 1, seed=s).gallery_labels.identities.tolist())
        )
        for s in range(20)
    }
    assert picks == {(2,), (7,)}


def test_labels_of_other_lengths_are_refused(tmp_path):
    with pytest.raises(InputError, match="2 identities and 3 cameras"):
        Labels(identities=np.zeros(2), cameras=np.zeros(3))


def test_a_circle_of_links_ends(tmp_path):
    fill(tmp_path / "real", ["a.jpg"])
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    data = load("folder", data_dir=tmp_path)
    assert sorted(data.train.names) == ["linked/a.jpg", "real/a.jpg"]


def test_two_names_that_are_one_in_normal_form_are_refused(tmp_path):
    fill(tmp_path, ["e\u0301.jpg", "\u00e9.jpg"])
    with pytest.raises(InputError, match="one name in Unicode's normal form"):
        load("folder", data_dir=tmp_path)


def test_names_in_different_case_are_two_images(tmp_path):
    fill(tmp_path, ["a.jpg", "A.jpg"])
    assert len(load("folder", data_dir=tmp_path).train) == 2


def test_order_does_not_follow_identity():
    names = [f"{i:04d}_c{c}.jpg" for i in range(200) for c in range(5)]
    order = np.asarray(row_order(names))
    assert abs(np.corrcoef(np.arange(1000), order)[0, 1]) < 0.1


def test_an_image_set_can_be_made_by_hand(tmp_path):
    fill(tmp_path, ["a.jpg"])
    images = ImageSet(names=("a.jpg",), keys=("a.jpg",), source=FolderSource(tmp_path))
    assert images.read(0) == (tmp_path / "a.jpg").read_bytes()
