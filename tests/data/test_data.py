"""Rows, labels and every layout, on small folders written by the tests."""

import hashlib
import io
import os
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgu_jax import data as fgu_data
from fgu_jax.data import Labels, load_dataset
from fgu_jax.data.images import FolderSource, ImageSet, row_order
from fgu_jax.data.layouts import tree as tree_module
from fgu_jax.data.layouts.pattern import NamePattern
from fgu_jax.errors import InputError


def load(*arguments: Any, **options: Any) -> Any:
    """``load_dataset``, whose parts may be None."""
    return load_dataset(*arguments, **options)


limit_rows: Any = fgu_data.limit_rows
limit_identities: Any = fgu_data.limit_identities
hold_out_identities: Any = fgu_data.hold_out_identities


def jpeg(value=100):
    file = io.BytesIO()
    Image.new("RGB", (4, 8), (value % 256, 50, 50)).save(file, "JPEG")
    return file.getvalue()


def fill(root, names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number) if "." in name else b"")
    return root


MARKET = (
    *[
        f"bounding_box_train/{i:04d}_c{c}s1_000151_00.jpg"
        for i in (2, 7)
        for c in (1, 3)
    ],
    "bounding_box_train/0007_c3s1_000176_00.jpg.jpg",
    *[f"query/{i:04d}_c{c}s1_000151_00.jpg" for i in (1, 3) for c in (1, 2)],
    *[
        f"bounding_box_test/{i:04d}_c{c}s1_000176_01.jpg"
        for i in (1, 3)
        for c in (1, 2)
    ],
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
)


@pytest.fixture
def market(tmp_path):
    root = fill(tmp_path / "Market-1501-v15.09.15", MARKET)
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"x")
    return tmp_path


def test_market(market):
    data = load("market1501", data_dir=market)
    assert (len(data.train), len(data.query), len(data.gallery)) == (5, 4, 5)
    assert data.found["junk images"] == 1
    assert data.found["other files"] == 1
    assert data.found["names ending in .jpg.jpg"] == 1
    assert -1 not in data.gallery_labels.identities
    assert 0 in data.gallery_labels.identities
    for images, labels in (
        (data.train, data.train_labels),
        (data.query, data.query_labels),
        (data.gallery, data.gallery_labels),
    ):
        for row, name in enumerate(images.names):
            assert int(name[:4]) == labels.identities[row]
            assert int(name[6]) == labels.cameras[row]
    assert load("market1501", data_dir=market / "Market-1501-v15.09.15").train


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
    assert set(vars(images)) == {"names", "keys", "source", "boxes"}
    assert set(vars(images.source)) == {"root"}


def test_missing_data_says_where_it_is(tmp_path):
    with pytest.raises(
        InputError, match=r"Market-1501.*prepare\.py --dataset=market1501"
    ):
        load("market1501", data_dir=tmp_path)
    with pytest.raises(InputError, match=r"withdrew DukeMTMC in 2019"):
        load("duke", data_dir=tmp_path / "nowhere")
    with pytest.raises(InputError, match="release agreement"):
        load("msmt17", data_dir=tmp_path)
    with pytest.raises(InputError, match="did you mean 'market1501'"):
        load("markt1501", data_dir=tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        load("folder", data_dir=tmp_path / "nowhere")


def test_one_dataset_is_not_taken_for_another(market, tmp_path):
    with pytest.raises(InputError, match="is it another dataset"):
        load("duke", data_dir=market / "Market-1501-v15.09.15")
    lonely = fill(tmp_path / "x", MARKET[:3])
    with pytest.raises(InputError, match="no images in query/"):
        load("market1501", data_dir=lonely)


def test_duke(tmp_path):
    fill(
        tmp_path / "DukeMTMC-reID",
        [
            "bounding_box_train/0001_c2_f0046182.jpg",
            "query/0005_c1_f0000001.jpg",
            "bounding_box_test/0005_c8_f0000001.jpg",
        ],
    )
    data = load("duke", data_dir=tmp_path)
    assert data.name == "dukemtmcreid"
    assert data.gallery_labels.cameras.tolist() == [8]


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("mask_train_v2", "mask_test_v2")]
)
def test_msmt17(tmp_path, train, test):
    root = tmp_path / "MSMT17_V1"
    line = "{0:04d}/{0:04d}_000_{1:02d}_0303morning_0015_0.jpg"
    fill(root / train, [line.format(0, 1), line.format(1, 15)])
    fill(root / test, [line.format(0, 2), line.format(0, 3)])
    for name, content in {
        "train": line.format(0, 1) + " 0\n",
        "val": line.format(1, 15) + " 1\n",
        "query": line.format(0, 2) + " 0\n",
        "gallery": line.format(0, 3) + " 0\n\n",
    }.items():
        (root / f"list_{name}.txt").write_text(content)
    data = load("msmt17", data_dir=tmp_path)
    got = dict(zip(data.train.names, data.train_labels.identities, strict=True))
    assert got == {line.format(0, 1): 1, line.format(1, 15): 2}
    assert sorted(data.train_labels.cameras) == [1, 15]
    assert data.query_labels.identities.tolist() == [1]
    (root / "list_query.txt").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"list_query\.txt, line 1: 'nonsense'"):
        load("msmt17", data_dir=tmp_path)
    (root / "list_query.txt").write_text(line.format(9, 2) + " 9\n")
    with pytest.raises(InputError, match=r"list_query\.txt, line 1: .* is missing"):
        load("msmt17", data_dir=tmp_path)


def test_folder_without_labels_trains_and_evaluates_nothing(tmp_path):
    fill(tmp_path, ["a.jpg", "b/c.PNG", "b/notes.txt", ".hidden.jpg"])
    (tmp_path / "b" / "c.PNG").write_bytes(jpeg())
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    data = load("folder", data_dir=tmp_path)
    assert sorted(data.train.names) == ["a.jpg", "b/c.PNG"]
    assert data.train_labels is None
    assert data.query is None
    assert data.gallery_labels is None
    with pytest.raises(InputError, match="needs identities, and folder has none"):
        hold_out_identities(data, 1)


def test_folder_by_pattern_has_the_first_of_each_identity_and_camera_as_queries(
    tmp_path,
):
    names = [
        f"{who}_c{cam}_{i}.jpg" for who in ("b", "a") for cam in (2, 11) for i in "xyz"
    ]
    fill(tmp_path, [*names, "stray.jpg"])
    data = load("folder", data_dir=tmp_path, pattern="{identity}_c{camera}*.jpg")
    assert data.identity_names == ("a", "b")
    assert data.found["images not matched"] == 1
    assert data.gallery.names == data.train.names
    assert len(data.query) == 4
    want: dict[str, str] = {}
    for name in data.train.names:
        if name != "stray.jpg":  # learnt from, of nobody known
            want.setdefault(name[:-6], name)
    assert sorted(data.query.names) == sorted(want.values())
    by_name = {
        name: (who, cam)
        for name, who, cam in zip(
            data.gallery.names,
            data.gallery_labels.identities.tolist(),
            data.gallery_labels.cameras.tolist(),
            strict=True,
        )
    }
    assert by_name.pop("stray.jpg")[0] == -1
    assert all(who == "ab".index(n[0]) + 1 for n, (who, _) in by_name.items())
    assert {cam for _, cam in by_name.values()} == {2, 11}


def test_without_cameras_a_query_leaves_out_itself_alone(tmp_path):
    fill(tmp_path, [f"{who}/{i}.jpg" for who in ("x", "y") for i in range(3)])
    data = load("folder", data_dir=tmp_path, pattern="{identity}/*.jpg")
    assert data.train_labels.cameras is None
    assert len(data.query) == 2
    assert len(set(data.gallery_labels.cameras.tolist())) == 6
    for row, name in enumerate(data.query.names):
        same = (data.gallery_labels.identities == data.query_labels.identities[row]) & (
            data.gallery_labels.cameras == data.query_labels.cameras[row]
        )
        assert [data.gallery.names[i] for i in np.flatnonzero(same)] == [name]


def test_folder_by_table(tmp_path):
    fill(tmp_path / "images", ["q/1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    table = tmp_path / "labels.csv"
    table.write_text(
        "camera,image,identity,split\nwest,q/1.jpg,fox,query\neast,2.jpg,fox,gallery\n"
        "east,3.jpg,'owl, old',train\n".replace("'", '"')
    )
    data = load("folder", data_dir=tmp_path / "images", table=table)
    assert data.train.names == ("3.jpg",)
    assert data.query.names == ("q/1.jpg",)
    assert data.identity_names == ("fox", "owl, old")
    assert data.query_labels.cameras.tolist() == [2]
    assert data.train_labels.identities.tolist() == [2]
    for text, message in {
        "name,identity\n": "it needs image",
        "image,identity\n9.jpg,fox\n": "line 2: image '9.jpg' is not in",
        "image,identity\n2.jpg,a\n2.jpg,a\n": "line 3: image '2.jpg' comes twice",
        "image,identity\n2.jpg\n": "line 2: no identity",
        "image,split\n2.jpg,tset\n": "split 'tset' is not one of",
        "image,identity\n": "lists no images",
        "image,identity\n../labels.csv,a\n": "is not in",
        'image,identity\n"2.jpg,a\n': "the CSV, line",
    }.items():
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            load("folder", data_dir=tmp_path / "images", table=table)


def test_bad_patterns(tmp_path):
    fill(tmp_path, ["1_c1.jpg"])
    for pattern, message in {
        "{identity}_d*.jpg": r"matches none of 1 images, such as '1_c1.jpg'",
        "{who}*": "'{who}' is not understood",
        "{camera}_{identity}_{camera}": "is not understood",
        "{identity": "is not understood",
        "*_c{camera}.jpg": "has no {identity}",
    }.items():
        with pytest.raises(InputError, match=message):
            load("folder", data_dir=tmp_path, pattern=pattern)


@pytest.mark.parametrize(
    ("pattern", "path", "groups"),
    [
        ("{identity}_c{camera}*.jpg", "-1_c12_x.jpg", ("-1", "12")),
        ("{identity}_c{camera}*.jpg", "12ab_c1s3.jpg", ("12ab", "1")),
        ("**/{identity}/cam-{camera}/?.png", "x/y/fox/cam-a b/1.png", ("fox", "a b")),
        ("**/{identity}/cam-{camera}/?.png", "fox/cam-2/1.png", ("fox", "2")),
        ("**/{identity}/cam-{camera}/?.png", "fox/cam-2/11.png", None),
        ("{identity}.{camera}.jpg", "axb.jpg", None),
    ],
)
def test_patterns(pattern, path, groups):
    read = NamePattern(pattern).read(path)
    assert (read and (read.identity, read.camera)) == groups


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
