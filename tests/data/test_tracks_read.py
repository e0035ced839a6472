"""Tracks, cameras without identities, and all columns of a table, as they are read."""

import pytest
from drawn_trees import put

from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError


@pytest.fixture
def tree(tmp_path):
    def made(*names):
        for k, name in enumerate(names):
            put(tmp_path / "images" / name, k, 0)
        return tmp_path / "images"

    return made


def tracks(images, labels):
    """The names of each track, and those of none."""
    found = {}
    for name, track in zip(images.names, labels.tracks.tolist(), strict=True):
        found.setdefault(track, set()).add(name)
    alone = found.pop(0, set())
    return sorted(map(sorted, found.values())), sorted(alone)


def test_numbers_of_tracks_begin_anew_with_each_identity_and_camera(tree):
    root = tree(*[f"{i}_c{c}_t1_{k}.png" for i in "ab" for c in (1, 2) for k in (1, 2)])
    data = load_dataset(
        "folder", data_dir=root, pattern="{identity}_c{camera}_t{track}_*.png"
    )
    found, alone = tracks(data.train, data.train_labels)
    assert found == [
        [f"{i}_c{c}_t1_{k}.png" for k in (1, 2)] for i in "ab" for c in "12"
    ]
    assert alone == []


def test_cameras_and_tracks_need_no_identity(tree):
    root = tree("north_7_1.png", "north_7_2.png", "south_7_1.png")
    data = load_dataset("folder", data_dir=root, pattern="{camera}_{track}_*.png")
    labels = data.train_labels
    assert not labels.known
    assert data.query is None
    assert data.gallery is None
    assert tracks(data.train, labels)[0] == [
        ["north_7_1.png", "north_7_2.png"],
        ["south_7_1.png"],
    ]
    of = dict(zip(data.train.names, labels.cameras.tolist(), strict=True))
    assert of == {"north_7_1.png": 1, "north_7_2.png": 1, "south_7_1.png": 2}
    assert data.reading.examples == ("'north_7_1.png' as camera 'north', track '7'",)
    data = load_dataset("folder", data_dir=root, pattern="{identity}_{track}_*.png")
    assert "'north_7_1.png' as identity 'north', track '7'" in data.reading.examples
    taken = labels.take([2, 0])
    assert taken.tracks.tolist() == labels.tracks[[2, 0]].tolist()


@pytest.mark.parametrize("column", ["track", "Encounter", "burst_id", "tracklet"])
def test_a_table_tells_tracks(tree, column):
    root = tree("0.png", "1.png", "2.png", "3.png")
    rows = ["0.png,dusk,north", "1.png,dusk,north", "2.png,dusk,south", "3.png,,south"]
    path = root.parent / "t.csv"
    path.write_text("\n".join([f"image,{column},camera", *rows]))
    data = load_dataset("folder", data_dir=root, table=path)
    found, alone = tracks(data.train, data.train_labels)
    assert found == [["0.png", "1.png"], ["2.png"]]  # a track is of one camera
    assert alone == ["3.png"]
    assert data.columns["3.png"] == {"image": "3.png", column: "", "camera": "south"}


def test_a_track_of_two_individuals_is_told(tree):
    root = tree("0.png", "1.png")
    path = root.parent / "t.csv"
    path.write_text("image,identity,track\n0.png,ada,5\n1.png,eve,5\n")
    data = load_dataset("folder", data_dir=root, table=path)
    assert any(
        note.startswith("1 tracks hold several identities, such as track '5' with")
        for note in data.reading.notes
    )


def test_all_splits_as_one_set(tree):
    root = tree("0.png", "1.png", "2.png")
    path = root.parent / "t.csv"
    path.write_text(
        "image,identity,split\n0.png,ada,train\n1.png,,test\n2.png,ada,test\n"
    )
    data = load_dataset("folder", data_dir=root, table=path, one_set=True)
    assert len(data.train) == 3
    assert data.query is None
    assert sorted(data.train_labels.identities.tolist()) == [-1, 1, 1]
    note = "all splits are taken together: train, gallery"
    assert data.reading.notes[-1] == note
    assert data.reading.taken == 3
    assert not data.reading.left_out


def test_a_split_alone_is_refused(tree):
    root = tree("train/0.png")
    with pytest.raises(InputError, match="has {split} alone"):
        load_dataset("folder", data_dir=root, pattern="{split}/*.png")
