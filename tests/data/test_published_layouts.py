"""VeRi, CUHK03 and MARS by their own folders and names, on made trees."""

import numpy as np
import pytest
from drawn_trees import put, who
from scipy import io

from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError


def test_veri(tmp_path):
    root = tmp_path / "VeRi"
    for folder, vehicles in (("train", (2, 5)), ("query", (1,)), ("test", (1, 3))):
        for vehicle in vehicles:
            for camera in (1, 20):
                name = f"{vehicle:04d}_c{camera:03d}_00016450_0.jpg"
                put(root / f"image_{folder}" / name, vehicle, camera)
    (root / "name_train.txt").write_text("x")
    data = load_dataset("veri", data_dir=tmp_path)
    assert (len(data.train), len(data.query), len(data.gallery)) == (4, 2, 4)
    assert set(data.gallery_labels.cameras.tolist()) == {1, 20}
    assert set(data.train_labels.identities.tolist()) == {2, 5}
    assert data.reading.left_out == {
        "name_train.txt": "not in image_train, image_query, image_test"
    }


@pytest.mark.parametrize("boxes", ["", "detected", "labeled"])
def test_cuhk03(tmp_path, boxes):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        for camera in (1, 2):
            put(tmp_path / "cuhk03-np" / boxes / folder / f"0001_c{camera}_1.png")
    data = load_dataset("cuhk03", data_dir=tmp_path)
    assert (len(data.train), len(data.query), len(data.gallery)) == (2, 2, 2)


def test_a_market_of_png(tmp_path):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        put(tmp_path / "market" / folder / "0002_c1s1_000451_03.png")
    data = load_dataset("market1501", data_dir=tmp_path)
    assert data.train_labels.identities.tolist() == [2]


@pytest.fixture
def mars(tmp_path):
    names = []
    for person in ("0002", "0003"):
        put(tmp_path / "MARS" / "bbox_train" / person / f"{person}C1T0001F001.jpg")
    for person in ("00-1", "0000", "0004", "0006"):
        for camera in (1, 2):
            for track in (1, 2):
                for frame in (1, 2):
                    name = f"{person}C{camera}T{track:04d}F{frame:03d}.jpg"
                    put(tmp_path / "MARS" / "bbox_test" / person / name)
                    names.append(name)
    return tmp_path, names


def check_mars(data, tracks):
    assert len(data.train) == 2
    assert len(data.query) == len(tracks)
    assert {name[5:16] for name in data.query.names} == tracks
    assert set(data.query_labels.identities.tolist()) <= {4, 6}
    numbers = who(data.gallery, data.gallery_labels)
    assert set(numbers.values()) == {0, 4, 6}  # junk is dropped, distractors stay
    assert not any(name[5:16] in tracks for name in numbers)
    reading = data.reading
    assert reading.taken == len(data.train) + len(data.query) + len(data.gallery)
    reasons = [why.partition(":")[0] for why in reading.left_out.values()]
    assert reasons.count("of nobody known, in query or gallery") == 8
    assert sum("in a query's track" in why for why in reasons) == len(tracks)


def test_mars_without_its_lists(mars):
    root, _ = mars
    data = load_dataset("mars", data_dir=root)
    people, cameras = ("0004", "0006"), (1, 2)
    check_mars(data, {f"{p}C{c}T0001" for p in people for c in cameras})
    assert "the first track of each identity and camera" in data.reading.notes[0]


def test_mars_by_its_lists(mars):
    root, names = mars
    info = root / "MARS" / "info"
    info.mkdir()
    (info / "test_name.txt").write_text("\n".join(names) + "\n")
    starts = range(1, len(names) + 1, 2)  # two frames a track, counted from 1
    rows = [(s, s + 1, 0, 0) for s in starts]
    io.savemat(info / "tracks_test_info.mat", {"track_test_info": np.array(rows)})
    chosen = [12, 15]  # the tracks of 0004C2T0002 and 0006C1T0001... from 1
    io.savemat(info / "query_IDX.mat", {"query_IDX": np.array([chosen])})
    data = load_dataset("mars", data_dir=root)
    tracks = {names[2 * (k - 1)][:11] for k in chosen}
    assert {name[5:16] for name in data.query.names} == tracks
    assert data.reading.notes == ("queries are those of info/query_IDX.mat",)
    (info / "query_IDX.mat").write_bytes(b"no matrix")
    with pytest.raises(InputError, match=r"query_IDX\.mat is damaged or no MATLAB"):
        load_dataset("mars", data_dir=root)
    io.savemat(info / "query_IDX.mat", {"query_IDX": np.array([[99]])})
    with pytest.raises(InputError, match="a query's track that is not in bbox_test"):
        load_dataset("mars", data_dir=root)
