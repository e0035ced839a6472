"""What may mean two things, or is no picture of anybody: told, refused, left out."""

import os

import pytest
from drawn_trees import put, who

from fgu_jax.data import load_dataset
from fgu_jax.data.kinds import not_taken
from fgu_jax.data.layouts.archive import open_tree
from fgu_jax.data.layouts.pattern import NamePattern
from fgu_jax.data.layouts.splits import split_of
from fgu_jax.errors import InputError
from fgu_jax.inference.feature_file import read_features
from fgu_jax.searching.features import find_images


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "images"
    for i in range(3):
        put(root / f"{i:03d}_0.png", i)
        put(root / f"{i:03d}_1.png", i, 1)
    return root


def load(tree, lines, header="image,identity"):
    path = tree.parent / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return load_dataset("folder", data_dir=tree, table=path)


def test_a_camera_of_letters_is_the_last_that_fits_too():
    read = NamePattern("{identity}_c{camera}_*.png").read("brown_cow_cA_0.png")
    assert (read.identity, read.camera, read.other) == (
        *("brown_cow", "A"),
        ("brown", "ow"),
    )


def test_identities_that_are_spelt_in_two_ways_are_told(tmp_path):
    for name in ("Anna_c1", "anna_c2", "1_c1", "001_c2", "10_c1"):
        put(tmp_path / f"{name}.png")
    data = load_dataset("folder", data_dir=tmp_path, pattern="{identity}_c{camera}.png")
    assert len(data.identity_names) == 5
    [note] = data.reading.notes
    assert note.startswith("2 identities are spelt in several ways, and each is one of")
    assert "'001' and '1'; spell them alike" in note


def test_cameras_that_are_spelt_in_two_ways_are_told(tmp_path):
    for name in ("a_c1", "b_c01", "a_c2"):
        put(tmp_path / f"{name}.png")
    data = load_dataset("folder", data_dir=tmp_path, pattern="{identity}_c{camera}.png")
    assert sorted(data.train_labels.cameras.tolist()) == [1, 1, 2]
    assert data.reading.notes == (
        "1 cameras are spelt in several ways and taken as one: '01' and '1'",
    )


def test_cameras_of_names_that_are_spelt_in_two_ways_are_two(tree):
    names = ("North", "north", "south", "south", "south", "south")
    lines = [f"{k // 2:03d}_{k % 2}.png,fox,{name}" for k, name in enumerate(names)]
    data = load(tree, lines, header="image,identity,camera")
    assert data.camera_names == {1: "North", 2: "north", 3: "south"}
    [note] = data.reading.notes
    assert "and each is one of its own: 'North' and 'north'; spell them" in note


@pytest.mark.parametrize("word", ["unknown", "NaN", "-1", "?"])
def test_a_camera_that_nobody_knows_is_none(tree, word):
    header = "image,identity,camera"
    data = load(tree, ["000_0.png,a,7", f"000_1.png,unknown,{word}"], header)
    assert data.camera_names == {}
    assert sorted(data.train_labels.cameras.tolist()) == [0, 0, 0, 0, 0, 7]
    told = f"1 rows of the table are of no camera known: they have {word!r}"
    assert told in data.reading.notes
    says = "line 3: no camera for '000_1.png' .it says '.*'.: fill it in, or call"
    with pytest.raises(InputError, match=says):
        load(tree, ["000_0.png,a,7", f"000_1.png,a,{word}"], header)


def test_published_junk_under_other_names_is_told(tmp_path):
    for who_ in ("00-1", "0000", "0003"):
        put(tmp_path / who_ / "C1T0001F001.jpg")
    data = load_dataset("folder", data_dir=tmp_path, pattern="{identity}/C{camera}T*")
    assert data.identity_names == ("00-1", "0000", "0003")
    first, second = data.reading.notes
    assert first.startswith("identity '00-1' is taken for a person, as not all its")
    assert second.startswith("identity '0000' is taken for a person")


def test_a_table_without_names_of_columns_is_refused(tree):
    lines = ["000_1.png,000", "001_0.png,001"]
    with pytest.raises(InputError, match="no line of names of columns.*'000_0.png'"):
        load(tree, lines, header="000_0.png,000")


@pytest.mark.parametrize("box", ["0.1,0.1,0.5,0.5", "0,0,0.5,1", "0.25;0.5;0.75;0.5"])
def test_boxes_that_are_shares_are_refused(tree, box):
    lines = [f'000_0.png,a,"{box}"', '000_1.png,b,"0.5,0.5,0.5,0.5"']
    with pytest.raises(InputError, match=r"boxes are shares of the picture.*pixels"):
        load(tree, lines, header="image,identity,bbox")


def test_a_box_of_one_pixel_is_no_share(tree):
    data = load(tree, ['000_0.png,a,"0,0,1,1"'], header="image,identity,bbox")
    assert data.reading.counts["boxes"] == 1


def test_names_for_nobody_are_told(tree):
    names = ("new_whale", "UNK", "#N/A", "new_individual", "fox", "fox")
    lines = [f"{k // 2:03d}_{k % 2}.png,{name}" for k, name in enumerate(names)]
    data = load(tree, lines)
    assert data.identity_names == ("fox",)
    assert list(who(data.train, data.train_labels).values()).count(-1) == 4
    [note] = data.reading.notes
    assert note == (
        "4 rows of the table are of nobody known: they have '#N/A', 'UNK', "
        "'new_individual', 'new_whale'"
    )


@pytest.mark.parametrize(
    ("name", "start", "reason"),
    [
        ("a.NEF", b"MM\0*", "a camera's own .nef, which is not read here"),
        ("a.dng", b"II*\0", "a camera's own .dng, which is not read here"),
        ("a.raf", b"FUJIFILMCCD-RAW", "a camera's own .raf, which is not read here"),
        ("a.jxl", b"\xff\x0a\0", "JPEG XL, which is not read here"),
        ("a", b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL, which is not read here"),
    ],
)
def test_pictures_that_pillow_would_read_a_thumbnail_of(name, start, reason):
    assert not_taken(name, start) == f"{reason}: save it as JPEG or PNG"


def test_a_folder_of_pictures_that_are_not_read_says_what_they_are(tmp_path):
    for name in ("b", "c"):
        (tmp_path / f"{name}.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        for hidden in ("._", ".~"):
            (tmp_path / f"{hidden}{name}.heic").write_bytes(b"")
    says = r"beside 6 other files \(2: HEIC, which is not read here: save it as JPEG"
    with pytest.raises(InputError, match=says):
        load_dataset("folder", data_dir=tmp_path)
    with pytest.raises(InputError, match=says):
        find_images(tmp_path, "gallery")


@pytest.mark.parametrize(
    "name",
    [
        *("@Recycle/1.jpg", "RECYCLER/1.jpg", "Temporary Items/1.jpg", "~$1.jpg"),
        *("1.jpg.crdownload", "1.jpg.part", "1.jpg~", "1.jpg.tmp", "1.jpg.bak"),
    ],
)
def test_what_programs_leave_is_left_out(tmp_path, name):
    put(tmp_path / "1.png")
    put(tmp_path / "sub" / name, format="JPEG")
    data = load_dataset("folder", data_dir=tmp_path)
    assert data.train.names == ("1.png",)
    assert list(data.reading.left_out) == [f"sub/{name}"]


def test_a_report_that_was_moved_is_left_out(tmp_path):
    put(tmp_path / "1.png")
    for name in ("plane-dark.png", "plane-light.png"):
        put(tmp_path / "for-the-talk" / name)
    (tmp_path / "for-the-talk" / "index.html").write_text("")
    data = load_dataset("folder", data_dir=tmp_path)
    assert data.train.names == ("1.png",)
    assert set(data.reading.left_out.values()) == {"the report of a run"}


def test_a_pipe_is_not_waited_for(tree):
    pipe = tree.parent / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a pipe: save it as a file"):
        load_dataset("folder", data_dir=tree, table=pipe)
    with pytest.raises(InputError, match="is a pipe: name an .npz"):
        read_features(pipe)
    with (
        pytest.raises(InputError, match="is no plain file"),
        open_tree(pipe, scratch=tree),
    ):
        pass


def test_what_a_tables_splits_are_read_as_is_told(tree):
    splits = ("train", "val", "val", "Test", "query", "test")
    lines = [f"{k // 2:03d}_{k % 2}.png,fox,{name}" for k, name in enumerate(splits)]
    data = load(tree, lines, header="image,identity,subset")
    assert len(data.train) == 3
    assert data.reading.notes == (
        "columns: 'subset' is split",
        "split 'Test' is read as gallery: 1 images",
        "split 'test' is read as gallery: 1 images",
        "split 'val' is read as train: 2 images",
    )


def test_a_split_for_development_is_one_to_learn_from():
    assert split_of("dev") == split_of("Dev_set") == "train"
