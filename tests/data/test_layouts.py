"""Every layout that is read, on small folders written by the tests."""

import numpy as np
import pytest
from small_folders import MARKET, fill, jpeg, load

from fgu_jax import data as fgu_data
from fgu_jax.data.layouts.pattern import NamePattern
from fgu_jax.errors import InputError


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
        fgu_data.hold_out_identities(data, 1)


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
        "*_c1.{split}": "has {split} alone",
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
