"""Archives and folders to prepared datasets: same rows, whole or not at all."""

import contextlib
import io
import signal
import subprocess
import sys

import numpy as np
import pytest
from archives import BIRDS, MARKET, assert_same, load, picture, tarred, unpacked, zipped

from fgu_jax.data import Settings
from fgu_jax.data.prepared.read import find_prepared
from fgu_jax.data.prepared.write import prepare
from fgu_jax.errors import InputError


@pytest.mark.parametrize("suffix", ["folder", "zip", "tar", "tar.gz", "tar.xz"])
def test_market_from_anything_has_the_rows_of_the_raw_folder(tmp_path, suffix):
    raw = load("market1501", data_dir=unpacked(tmp_path / "raw", MARKET))
    source = tmp_path / f"m.{suffix}"
    make = {"folder": unpacked, "zip": zipped}.get(suffix, tarred)
    calls = []
    report = prepare(
        "market1501",
        make(source, MARKET),
        data_dir=tmp_path / "data",
        progress=lambda *call: calls.append(call),
    )
    assert not report.again
    assert report.counts == {
        "training images": 9,
        "query images": 2,
        "gallery images": 3,
        "junk images": 1,
        "training identities": 9,
        "test identities": 2,
        "cameras": 2,
    }
    assert report.published["training images"] == 12_936
    assert report.found["other files"] == 1
    assert report.found["names ending in .jpg.jpg"] == 1
    assert {what for _, _, what in calls} == {"checking images", "writing records"}
    assert calls[-1][0] == calls[-1][1] == 15
    got = load("market1501", data_dir=tmp_path / "data")
    assert_same(got, raw)
    assert not hasattr(got.train.source, "metadata")
    np.testing.assert_array_equal(got.train.decode(8, 4), raw.train.decode(8, 4))
    left = [p.name for p in (tmp_path / "data").rglob("*") if p.name.startswith(".")]
    assert not left


def test_folder_archive_with_labels(tmp_path):
    pattern = "{identity}/{camera}/*"
    raw = load(
        "folder",
        data_dir=unpacked(tmp_path / "raw", BIRDS) / "birds",
        pattern=pattern,
    )
    source = zipped(tmp_path / "birds.zip", BIRDS)
    prepare("folder", source, data_dir=tmp_path, pattern=pattern)
    got = load("folder", data_dir=tmp_path)
    assert_same(got, raw)
    assert got.identity_names == ("owl, old", "z\u00e9bu")
    assert load("folder", data_dir=tmp_path, pattern=pattern).train.names
    with pytest.raises(InputError, match="prepared with another pattern"):
        load("folder", data_dir=tmp_path, pattern="{identity}/**")


def test_folder_archive_without_labels_or_with_a_table(tmp_path):
    source = tarred(tmp_path / "birds.tar.bz2", BIRDS)
    prepare("folder", source, data_dir=tmp_path / "plain")
    data = load("folder", data_dir=tmp_path / "plain")
    assert len(data.train) == 4
    assert data.train_labels is None
    assert data.query is None
    table = tmp_path / "table.csv"
    table.write_text("image,identity\nz\u00e9bu/east/1.webp,7\n", encoding="utf-8")
    prepare("folder", source, data_dir=tmp_path / "table", table=table)
    data = load("folder", data_dir=tmp_path / "table", table=table)
    assert len(data.train) == 4  # the others are of nobody known
    assert data.query.names == ("z\u00e9bu/east/1.webp",)
    assert data.identity_names == ("7",)
    assert data.train_labels.cameras is None


def test_msmt17_and_duke_archives(tmp_path):
    name = "0000/0000_000_{:02d}_0303morning_0015_0.jpg"
    msmt = {
        f"MSMT17_V1/{folder}/{name.format(c)}": picture(c)
        for folder, c in (("train", 1), ("train", 2), ("test", 3), ("test", 4))
    }
    lists = {"train": 1, "val": 2, "query": 3, "gallery": 4}
    for split, camera in lists.items():
        msmt[f"MSMT17_V1/list_{split}.txt"] = f"{name.format(camera)} 0\n".encode()
    report = prepare(
        "msmt17", tarred(tmp_path / "m.tar.gz", msmt), data_dir=tmp_path / "data"
    )
    assert report.counts["training images"] == 2
    assert report.counts["cameras"] == 4
    got = load("msmt17", data_dir=tmp_path / "data")
    assert_same(got, load("msmt17", data_dir=unpacked(tmp_path / "raw", msmt)))
    duke = {
        f"DukeMTMC-reID/{name}": picture(1)
        for name in (
            "bounding_box_train/0001_c2_f0046182.jpg",
            "query/0005_c1_f0000001.jpg",
            "bounding_box_test/0005_c8_f0000001.jpg",
            "bounding_box_test/0006_c8_f0000001.jpg",
        )
    }
    report = prepare(
        "duke", zipped(tmp_path / "DukeMTMC-reID.zip", duke), data_dir=tmp_path / "data"
    )
    assert report.root == tmp_path / "data" / "dukemtmcreid" / "1.0.0"
    assert report.counts["distractor identities"] == 1
    assert len(load("duke", data_dir=tmp_path / "data").gallery) == 2


def test_synthetic(tmp_path):
    settings = Settings(
        train_identities=2, test_identities=2, cameras=2, distractors=1, junk=1
    )
    prepare("synthetic", None, data_dir=tmp_path, settings=settings)
    got = load("synthetic", data_dir=tmp_path, settings=settings)
    assert type(got.train.source).__name__ == "RecordSource"
    drawn = load("synthetic", data_dir=tmp_path / "raw", settings=settings)
    assert_same(got, drawn)
    with pytest.raises(InputError, match="leave out the source"):
        prepare("synthetic", tmp_path, data_dir=tmp_path)


def test_bad_images_are_refused_or_left_out(tmp_path):
    files = dict(MARKET)
    bad = [name for name in files if "bounding_box_train/000" in name][:2]
    files[bad[0]] = b""
    files[bad[1]] = files[bad[1]][:300]
    source = zipped(tmp_path / "m.zip", files)
    with pytest.raises(InputError, match=r"2 of 15 images cannot be read") as caught:
        prepare("market1501", source, data_dir=tmp_path / "data")
    assert all(name in str(caught.value) for name in bad)
    report = prepare("market1501", source, data_dir=tmp_path / "data", skip_bad=True)
    assert set(report.skipped) == set(bad)
    got = load("market1501", data_dir=tmp_path / "data")
    assert len(got.train) == 7
    assert set(got.skipped) == set(bad)
    raw = load("market1501", data_dir=unpacked(tmp_path / "raw", files), skip_bad=True)
    assert_same(got, raw)
    again = prepare("market1501", source, data_dir=tmp_path / "data", skip_bad=True)
    assert again.again
    assert set(again.skipped) == set(bad)
    only = zipped(tmp_path / "b.zip", {"a.jpg": b""})
    with pytest.raises(InputError, match="none of its 1 images can be read"):
        prepare("folder", only, data_dir=tmp_path / "none", skip_bad=True)


KILLED = """
import os, signal, sys
from fgu_jax.data.prepared.write import prepare
from fgu_jax.data import load_dataset, Settings
def progress(done, total, what):
    if what == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "synthetic":
    load_dataset("synthetic", data_dir="data", settings=Settings(
        train_identities=2, test_identities=2, cameras=2), progress=progress)
else:
    prepare("market1501", sys.argv[2], data_dir="data", progress=progress)
"""


@pytest.mark.parametrize(
    ("what", "source"),
    [
        ("checking images", "m.zip"),
        ("writing records", "m.zip"),
        ("drawing synthetic images", "synthetic"),
    ],
)
def test_killed_half_way_it_leaves_nothing_that_loads(tmp_path, what, source):
    zipped(tmp_path / "m.zip", MARKET)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, what, source], cwd=tmp_path, check=False
    )
    assert done.returncode == -signal.SIGKILL
    data = tmp_path / "data"
    visible = [p.name for p in data.rglob("*") if p.suffix in (".json", ".jpg")]
    if source == "synthetic":
        assert not [p for p in data.iterdir() if not p.name.startswith(".")]
        return
    assert find_prepared("market1501", data) is None
    with pytest.raises(InputError, match=r"prepare\.py"):
        load("market1501", data_dir=data)
    assert not visible or what == "writing records"
    prepare("market1501", tmp_path / "m.zip", data_dir=data)
    assert len(load("market1501", data_dir=data).train) == 9


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from fgu_jax.data.prepared.write import prepare
from fgu_jax.errors import InputError
try:
    prepare("market1501", "m.zip", data_dir="data")
except InputError as error:
    print(error)
"""


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    zipped(tmp_path / "m.zip", MARKET)
    done = subprocess.run(
        [sys.executable, "-c", FULL],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file()]


def test_a_damaged_prepared_dataset_is_named(tmp_path):
    report = prepare("folder", zipped(tmp_path / "birds.zip", BIRDS), data_dir=tmp_path)
    records = next(report.root.glob("*.array_record*"))
    whole = records.read_bytes()
    data = load("folder", data_dir=tmp_path)
    records.write_bytes(b"")
    with pytest.raises(InputError, match=r"is damaged .* --overwrite"):
        data.train.read(0)
    records.write_bytes(whole)
    metadata = report.root / "metadata.json"
    text = metadata.read_text()
    for broken in (
        "{",
        "[]",
        "null",
        "{}",
        text.replace("[null", '["x"', 1),
        text.replace(", null", "", 1),
    ):
        metadata.write_text(broken)
        with pytest.raises(InputError, match="is damaged"):
            load("folder", data_dir=tmp_path)
    metadata.write_text(text)
    assert load("folder", data_dir=tmp_path).train.read(0)


def test_tfds_reads_it_without_us(tmp_path):
    import tensorflow_datasets as tfds

    report = prepare(
        "market1501", zipped(tmp_path / "m.zip", MARKET), data_dir=tmp_path
    )
    builder = tfds.builder_from_directory(str(report.root))
    assert set(builder.info.splits) == {"train", "query", "gallery"}
    records = builder.as_data_source("gallery")
    got = {r["file_name"].decode(): (r["identity"], r["camera"]) for r in records}
    assert got == {
        "0011_c2s1_000151_00.jpg": (11, 2),
        "0012_c2s1_000151_00.jpg": (12, 2),
        "0000_c1s1_000151_01.jpg": (0, 1),
        "-1_c1s1_000401_03.jpg": (-1, 1),
    }
    assert records[0]["image"].shape == (8, 4, 3)
    assert "tensorflow" not in sys.modules


def test_builders_work_through_tfds_alone(tmp_path):
    import tensorflow_datasets as tfds

    from fgu_jax.data.prepared.tfds_builder import builder_of

    manual = unpacked(tmp_path / "manual", MARKET)
    builder = builder_of("market1501")(data_dir=tmp_path, file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=manual)
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=config)
    want = load("market1501", data_dir=manual)
    assert_same(load("market1501", data_dir=tmp_path), want)
