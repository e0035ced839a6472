"""Names, endings and files of folders: nothing read wrongly, none left in silence."""

import os
import shutil

import numpy as np
import pytest
from drawn_trees import picture, put, who
from PIL import Image

from fgu_jax.data import load_dataset
from fgu_jax.data.layouts.pattern import NamePattern
from fgu_jax.data.layouts.splits import split_of
from fgu_jax.errors import InputError


def load(root, pattern=None, **options):
    return load_dataset("folder", data_dir=root, pattern=pattern, **options)


def complete(data, root):
    """Every file that is there is taken or left out with a reason."""
    reading = data.reading
    there = sum(len(files) for _, _, files in os.walk(root))
    assert reading.files == there
    assert all(reading.left_out.values())
    return reading


# 1: the camera is digits where digits can be had.
CATS = "{identity}_c{camera}*.png"


def test_a_camera_is_digits_where_digits_can_be_had(tmp_path):
    for i, name in enumerate(["black_cat", "brown_cow", "red_owl"]):
        for camera in (1, 2):
            put(tmp_path / f"{name}_c{camera}_0.png", i, camera)
    data = load(tmp_path, CATS)
    assert data.identity_names == ("black_cat", "brown_cow", "red_owl")
    assert set(data.train_labels.cameras.tolist()) == {1, 2}
    assert not any("two ways" in note for note in data.reading.notes)
    shown = data.reading.lines()
    assert shown[0].endswith(
        "6 of 6 files; 6 training images, 3 training identities, 2 cameras, "
        "6 query images, 6 gallery images"
    )
    assert "  read 'black_cat_c1_0.png' as identity 'black_cat', camera '1'" in shown


@pytest.mark.parametrize(
    ("pattern", "name", "identity", "camera", "other"),
    [
        (CATS, "fox_c1_c2_3.png", "fox_c1", "2", ("fox", "1")),
        (CATS, "12_c1_c2_3.png", "12", "1", None),
        ("{identity}_{camera}*.png", "anna_1_05.png", "anna", "1", ("anna_1", "05")),
        ("{identity}_*.png", "black_cat_0.png", "black", None, ("black_cat", None)),
        ("{identity}-cam{camera}_*", "a-cam-cam03_1.png", "a-cam", "03", None),
        ("cam0{camera}_{identity}*", "cam012_7.png", "7", "12", None),
        ("{identity}_c{camera}*.png", "x_c1s3.PnG", "x", "1", None),
        (CATS, "brown_cow_C1_0.png", "brown_cow", "1", None),
        (CATS, "brown_cow_C1_c2_0.png", "brown_cow_C1", "2", None),
        ("**/{identity}/{camera}/*", "a/b/west/1.png", "b", "west", None),
    ],
)
def test_what_a_name_is_read_as(pattern, name, identity, camera, other):
    read = NamePattern(pattern).read(name)
    assert (read.identity, read.camera, read.other) == (identity, camera, other)


def test_a_name_without_a_camera_does_not_lend_one(tmp_path):
    for name in ("owl_c1_0", "owl_c2_0", "black_cat"):
        put(tmp_path / f"{name}.png")
    data = load(tmp_path, CATS)
    assert who(data.train, data.train_labels)["black_cat.png"] == -1
    assert any("no number where {camera} stands" in n for n in data.reading.notes)


def test_names_of_two_readings_are_told(tmp_path):
    put(tmp_path / "fox_c1_c2_3.png")
    [note] = load(tmp_path, CATS).reading.notes
    assert note == (
        "1 names can be read in two ways: 'fox_c1_c2_3.png' as identity 'fox_c1', "
        "camera '2' (taken), or identity 'fox', camera '1'"
    )


# 2: endings without case; what is not matched trains and is told.
def test_endings_compare_without_case_and_the_rest_still_trains(tmp_path):
    for i in range(4):
        put(tmp_path / f"{i:03d}_c1_0.{'png' if i % 2 else 'PNG'}", i)
    put(tmp_path / "stray.png", 9)
    data = load(tmp_path, CATS)
    assert len(data.train) == 5
    assert len(data.identity_names) == 4
    assert who(data.train, data.train_labels)["stray.png"] == -1
    assert "stray.png" not in data.query.names
    assert "1 images that the pattern" in data.reading.notes[0]
    assert "'stray.png'" in data.reading.notes[0]
    complete(data, tmp_path)


def test_where_splits_are_told_what_is_in_none_is_left_out(tmp_path):
    for split in ("train", "query", "gt_bbox"):
        put(tmp_path / split / "1_c1.png")
    put(tmp_path / "test" / "1_c2.png")
    put(tmp_path / "stray.png")
    data = load(tmp_path, "{split}/{identity}_c{camera}.png")
    assert data.train.names == ("train/1_c1.png",)
    assert data.gallery.names == ("test/1_c2.png",)
    left = complete(data, tmp_path).left_out
    assert left["gt_bbox/1_c1.png"].startswith("split 'gt_bbox', which is none")
    assert "does not match" in left["stray.png"]
    with pytest.raises(InputError, match="has split 'x', which is none of"):
        load(tmp_path / "gt_bbox" / "..", "gt_bbo{split}/{identity}_c{camera}.png")


# 4: what a run wrote is no image of anybody.
@pytest.mark.parametrize(
    "made", [("config.json", "run.json"), ("config.json", "export.json")]
)
def test_a_folder_that_a_run_made_is_left_out(tmp_path, made):
    put(tmp_path / "1.png")
    put(tmp_path / "runs" / "r" / "report" / "plot.png")
    for name in made:
        (tmp_path / "runs" / "r" / name).write_text("{}")
    data = load(tmp_path)
    assert data.train.names == ("1.png",)
    reasons = set(complete(data, tmp_path).left_out.values())
    assert reasons <= {"the folder of a run", "an exported network"}


def test_a_run_in_the_images_own_folder_and_a_search(tmp_path):
    put(tmp_path / "1.png")
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).write_text("{}")
    put(tmp_path / "report" / "plot.png")
    put(tmp_path / "found" / "thumbnails" / "a.jpg")
    for name in ("matches.json", "index.html"):
        (tmp_path / "found" / name).write_text("")
    put(tmp_path / "review" / "thumbnails" / "000000.jpg")
    for name in ("questions.json", "index.html"):
        (tmp_path / "review" / name).write_text("")
    put(tmp_path / "tables" / "figure-2.png")
    (tmp_path / "tables" / "table-5.json").write_text("")
    put(tmp_path / "tables" / "runs" / "k=5" / "report" / "plot.png")
    data = load(tmp_path)
    assert data.train.names == ("1.png",)
    complete(data, tmp_path)


# 6: by first bytes, too.
def test_what_pillow_reads_by_its_first_bytes_is_taken(tmp_path):
    for name, form in (
        *(("a.jfif", "JPEG"), ("b", "JPEG"), ("c.jp2", "JPEG2000"), ("d.avif", "AVIF")),
        *(("e.bin", "PNG"), ("f.x", "WEBP"), ("g.1", "BMP"), ("h.dat", "TIFF")),
        *(("i.y", "GIF"), ("j.z", "PPM")),
    ):
        put(tmp_path / name, format=form)
    (tmp_path / "k.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "BMW").write_text("BMW and P5 are no pictures")
    (tmp_path / "notes.TXT").write_text("P5 is no picture either")
    (tmp_path / "empty").write_bytes(b"")
    data = load(tmp_path)
    assert len(data.train) == 10
    assert data.train.decode(64, 32).std(axis=(1, 2, 3)).min() > 10
    assert complete(data, tmp_path).left_out == {
        "k.heic": "HEIC, which is not read here: save it as JPEG or PNG",
        "BMW": "not a picture (no ending)",
        "notes.TXT": "not a picture (.txt)",
        "empty": "an empty file",
    }
    lines = "\n".join(data.reading.lines())
    assert "1: not a picture (.txt); 'notes.TXT'" in lines


# 9: values of more than 8 bits.
def grey(i):
    return np.asarray(picture(i).convert("L"))


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("share.tif", lambda g: g.astype(np.float32) / 255),
        ("float255.tif", lambda g: g.astype(np.float32)),
        ("twelve.png", lambda g: (g.astype(int) * 4095 // 255).astype(np.uint16)),
        ("ten.png", lambda g: (g.astype(int) * 1023 // 255).astype(np.uint16)),
        ("eight.png", lambda g: g.astype(np.uint16)),
        ("sixteen.png", lambda g: g.astype(np.uint16) * 257),
    ],
)
def test_pictures_of_more_than_eight_bits(tmp_path, name, of):
    for i in range(3):
        values = of(grey(i))
        values.flat[0] = of(np.array([255], np.uint8))[0]
        Image.fromarray(values).save(tmp_path / f"{i}{name}")
    data = load(tmp_path)
    bits = {"share": "shares of", "twe": "grey of 12", "ten": "grey of 10"}
    told = "\n".join(data.reading.lines())
    assert "the middle picture of 3 is 64 high and 32 wide" in told
    assert next((b for k, b in bits.items() if name.startswith(k)), "grey of") in told
    found = dict(zip(data.train.names, data.train.decode(64, 32), strict=True))
    for i in range(3):
        wanted = grey(i).astype(int)
        wanted.flat[0] = 255
        assert np.abs(found[f"{i}{name}"][..., 0].astype(int) - wanted).max() <= 1


def test_values_that_nobody_can_place_are_refused(tmp_path):
    Image.fromarray(grey(1).astype(np.float32) - 200).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"'a.tif' \(grey values from .* 0 to 1, or"):
        load(tmp_path).train.decode(8, 4)


# 10: MARS's names.
def test_the_rules_of_mars_are_told_from_its_names(tmp_path):
    for identity in ("00-1", "0000", "0003", "0005"):
        for camera in (1, 2):
            put(tmp_path / f"{identity}C{camera}T0001F001.jpg", int(identity[-1]))
    data = load(tmp_path, "{identity}C{camera}*.jpg")
    assert data.identity_names == ("0003", "0005")
    numbers = who(data.train, data.train_labels)
    assert numbers["00-1C1T0001F001.jpg"] == -1
    assert numbers["0000C2T0001F001.jpg"] == 0
    assert len(data.query) == 4


# 15: names of splits.
def test_the_usual_names_of_splits(tmp_path):
    names = {
        *("image_train", "train", "bbox_train", "val", "training_set"),
        *("mask_train_v2", "Validation"),
    }
    assert {split_of(name) for name in names} == {"train"}
    assert {split_of(n) for n in ("image_query", "query", "probe")} == {"query"}
    names = {"image_test", "bounding_box_test", "test", "gallery", "bbox_test"}
    assert {split_of(name) for name in names} == {"gallery"}
    assert split_of("tset") is split_of("images") is split_of("") is None


def test_a_test_split_alone_has_its_own_queries(tmp_path):
    for split, people in (("train", (1, 2)), ("test", (3, 4))):
        for who_ in people:
            for camera in (1, 2):
                put(tmp_path / split / f"{who_}_c{camera}.png", who_, camera)
    data = load(tmp_path, "{split}/{identity}_c{camera}.png")
    assert len(data.train) == len(data.query) == len(data.gallery) == 4
    assert all(name.startswith("test/") for name in data.query.names)
    assert any("there is no query split" in note for note in data.reading.notes)


# 16: identities of several groups.
def test_an_identity_of_several_groups(tmp_path):
    for pair in (1, 2):
        for camera in (1, 2):
            put(tmp_path / f"{pair}_001_{camera}_01.png", pair, camera)
    data = load(tmp_path, "{identity}_{identity}_{camera}_*.png")
    assert data.identity_names == ("1/001", "2/001")


# 17: what systems leave.
@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir/1.png/THUMB.jpg", ".thumbnails/x.jpg", "__MACOSX/1.png", "._1.png"),
        *("#recycle/1.png", "$RECYCLE.BIN/a/1.png", ".@__thumb/1.png"),
    ],
)
def test_what_systems_leave_is_left_out_and_counted(tmp_path, name):
    put(tmp_path / "1.png")
    put(tmp_path / "sub" / name)
    data = load(tmp_path)
    assert data.train.names == ("1.png",)
    assert list(complete(data, tmp_path).left_out) == [f"sub/{name}"]


# 18: what is no plain file.
def test_pipes_sockets_and_links_are_named_and_left_out(tmp_path):
    put(tmp_path / "1.png")
    os.mkfifo(tmp_path / "x.jpg")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "pipe").symlink_to(tmp_path / "x.jpg")
    data = load(tmp_path)
    assert data.train.names == ("1.png",)
    assert data.reading.left_out == {
        "x.jpg": "a named pipe",
        "gone.png": "a link to nothing",
        "self.png": "a link to nothing",
        "pipe": "a named pipe",
    }


def test_a_pipe_that_came_later_is_not_waited_for(tmp_path):
    path = put(tmp_path / "1.png")
    data = load(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="is no plain file"):
        data.train.decode(8, 4)


def test_links_that_multiply_end(tmp_path):
    put(tmp_path / "0" / "1.png")
    for k in range(30):
        (tmp_path / f"{k + 1}").mkdir()
        for link in "ab":
            (tmp_path / f"{k + 1}" / link).symlink_to(tmp_path / f"{k}")
    assert 1 <= len(load(tmp_path).train) <= 5


def test_a_folder_without_pictures_says_what_is_there(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no images in it beside 1 other files"):
        load(tmp_path)


def test_an_archive_in_place_of_a_folder(tmp_path):
    put(tmp_path / "a" / "1.png")
    path = shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a")
    for name in ("folder", "market1501"):
        with pytest.raises(InputError, match=rf"prepare\.py --dataset={name} --sou"):
            load_dataset(name, data_dir=path)


def test_several_folders_keep_their_identities_apart(tmp_path):
    for site in ("north", "south"):
        for camera in (1, 2):
            put(tmp_path / site / f"001_c{camera}.png", len(site), camera)
    (tmp_path / "south" / "x.txt").write_text("x")
    data = load([tmp_path / "north", tmp_path / "south"], "{identity}_c{camera}.png")
    assert data.identity_names == ("north/001", "south/001")
    assert who(data.train, data.train_labels, data.identity_names) == {
        f"{site}/001_c{camera}.png": f"{site}/001"
        for site in ("north", "south")
        for camera in (1, 2)
    }
    assert len(set(data.train_labels.cameras.tolist())) == 4
    assert data.train.decode(64, 32).shape == (4, 64, 32, 3)
    assert data.reading.left_out == {"south/x.txt": "not a picture (.txt)"}
    with pytest.raises(InputError, match="2 data_dirs with market1501"):
        load_dataset("market1501", data_dir=[tmp_path, tmp_path])
