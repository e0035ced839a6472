"""Archives and folders to prepared datasets: same rows, whole or not at all."""

import contextlib
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgu_jax.data import Settings, load_dataset
from fgu_jax.data.layouts.archive import open_tree
from fgu_jax.data.prepare import prepare
from fgu_jax.data.prepared import find_prepared
from fgu_jax.errors import InputError

PREPARE = Path(__file__).parents[1] / "data_prep" / "prepare.py"


def load(*arguments: Any, **options: Any) -> Any:
    """``load_dataset``, whose parts may be None."""
    return load_dataset(*arguments, **options)


def picture(value, kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", (4, 8), (value * 9 % 256, 50, 50)).save(file, kind)
    return file.getvalue()


MARKET = {
    f"Market-1501-v15.09.15/{name}": picture(i)
    for i, name in enumerate(
        (
            *[f"bounding_box_train/{i:04d}_c1s1_000151_00.jpg" for i in range(1, 9)],
            "bounding_box_train/0009_c2s1_000151_00.jpg.jpg",
            *[f"query/{i:04d}_c1s1_000151_00.jpg" for i in (11, 12)],
            *[f"bounding_box_test/{i:04d}_c2s1_000151_00.jpg" for i in (11, 12)],
            "bounding_box_test/0000_c1s1_000151_01.jpg",
            "bounding_box_test/-1_c1s1_000401_03.jpg",
        )
    )
} | {
    "Market-1501-v15.09.15/bounding_box_test/Thumbs.db": b"x",
    "__MACOSX/bounding_box_train/._0001_c1s1_000151_00.jpg": b"x",
}
BIRDS = {
    "birds/owl, old/east/1.jpg": picture(1),
    "birds/owl, old/west/1.png": picture(2, "PNG"),
    "birds/z\u00e9bu/east/1.webp": picture(3, "WEBP"),
    "birds/z\u00e9bu/east/2.bmp": picture(4, "BMP"),
    "birds/read me.txt": b"x",
}


def unpacked(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path, files):
    mode: Any = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo("./" + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def assert_same(got, want):
    for split in ("train", "query", "gallery"):
        a, b = getattr(got, split), getattr(want, split)
        assert a.names == b.names
        assert [a.read(i) for i in range(len(a))] == [b.read(i) for i in range(len(b))]
        a, b = getattr(got, f"{split}_labels"), getattr(want, f"{split}_labels")
        np.testing.assert_array_equal(a.identities, b.identities)
        np.testing.assert_array_equal(a.cameras, b.cameras)
    assert got.identity_names == want.identity_names


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
    assert data.train.names == ("z\u00e9bu/east/1.webp",)
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


def test_names_of_any_bytes_survive(tmp_path):
    root = tmp_path / "raw"
    root.mkdir()
    for i, name in enumerate((b"\xff\xfe.jpg", b"a\n.jpg", b"n" * 250 + b".jpg")):
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(picture(i))
    raw = load("folder", data_dir=root)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(root, "top")
    for i, source in enumerate((root, tmp_path / "a.tar")):
        prepare("folder", source, data_dir=tmp_path / str(i))
        got = load("folder", data_dir=tmp_path / str(i))
        assert got.train.names == raw.train.names
        np.testing.assert_array_equal(got.train.decode(8, 4), raw.train.decode(8, 4))


def test_zip_names_without_the_utf8_flag_are_read_as_bytes(tmp_path):
    path = zipped(
        tmp_path / "a.zip", {"caf\u00e9.jpg": picture(1), "xx\u00e9.jpg": b"1"}
    )
    # What an old packer on Linux writes: raw bytes, and no flag.
    data = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(start)
        while at >= 0:
            data[at + flags + 1] &= ~8
            at = data.find(start, at + 1)
    path.write_bytes(bytes(data).replace("xx\u00e9".encode(), b"xx\xff\xfe"))
    with open_tree(path, scratch=tmp_path) as tree:
        assert tree.names == ("caf\u00e9.jpg", "xx\udcff\udcfe.jpg")
        assert tree.read("xx\udcff\udcfe.jpg") == b"1"


def test_names_in_different_case_are_kept_and_counted(tmp_path):
    files = {"a.jpg": picture(1), "A.JPG": picture(2), "b.jpg": picture(3)}
    report = prepare("folder", zipped(tmp_path / "a.zip", files), data_dir=tmp_path)
    assert report.found["names that differ in case only"] == 2
    data = load("folder", data_dir=tmp_path)
    by_name = {name: data.train.read(i) for i, name in enumerate(data.train.names)}
    assert by_name == files


def hostile_zip(path, name, *, link=False, encrypted=False, twice=False):
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("placeholder.jpg")
        info.filename = info.orig_filename = name
        if link:
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, b"x")
        if twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(info, b"x")
    if encrypted:
        data = bytearray(path.read_bytes())
        for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.find(start) + flags] |= 1
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("../evil.jpg", {}, "leads out"),
        ("a/../../evil.jpg", {}, "leads out"),
        ("..\\evil.jpg", {}, "leads out"),
        ("/etc/evil.jpg", {}, "absolute"),
        ("C:\\evil.jpg", {}, "absolute"),
        ("link.jpg", {"link": True}, "is a link"),
        ("a.jpg", {"encrypted": True}, "unpack it and name the folder"),
        ("a.jpg", {"twice": True}, "comes twice"),
    ],
)
def test_hostile_zips_are_refused(tmp_path, name, options, message):
    source = hostile_zip(tmp_path / "evil.zip", name, **options)
    with pytest.raises(InputError, match=message):
        prepare("folder", source, data_dir=tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (tarfile.SYMTYPE, "a.jpg", "is a link"),
        (tarfile.LNKTYPE, "a.jpg", "is a link"),
        (tarfile.FIFOTYPE, "a.jpg", "no plain file"),
        (tarfile.CHRTYPE, "a.jpg", "no plain file"),
        (tarfile.REGTYPE, "../a.jpg", "leads out"),
        (tarfile.REGTYPE, "/a.jpg", "absolute"),
    ],
)
def test_hostile_tars_are_refused(tmp_path, kind, name, message):
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match=message):
        prepare("folder", tmp_path / "evil.tar", data_dir=tmp_path / "data")


def test_damaged_and_wrong_sources(tmp_path):
    whole = tarred(tmp_path / "a.tar.gz", MARKET).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    whole = zipped(tmp_path / "a.zip", MARKET).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.zip").write_bytes(b"not an archive")
    zipped(tmp_path / "birds.zip", BIRDS)
    for source, message in {
        "cut.tar.gz": "is damaged|neither a folder nor",
        "cut.zip": "neither a folder nor a zip or tar",
        "text.zip": "neither a folder nor a zip or tar",
        "nowhere.zip": "is not there",
        "birds.zip": "no bounding_box_train in it, so it is not Market-1501",
    }.items():
        with pytest.raises(InputError, match=message):
            prepare("market1501", tmp_path / source, data_dir=tmp_path / "data")
    with pytest.raises(InputError, match="is it another dataset"):
        prepare("duke", tmp_path / "a.zip", data_dir=tmp_path / "data")
    with pytest.raises(InputError, match="needs a source"):
        prepare("duke", None, data_dir=tmp_path / "data")
    with pytest.raises(InputError, match="matches none of 4 images"):
        prepare(
            "folder",
            tmp_path / "birds.zip",
            data_dir=tmp_path / "data",
            pattern="{identity}.tif",
        )


def test_a_damaged_member_is_a_bad_image(tmp_path):
    files = {"a.jpg": picture(1), "b.jpg": picture(2)}
    path = zipped(tmp_path / "a.zip", files)
    data = path.read_bytes()
    path.write_bytes(data.replace(files["b.jpg"], files["b.jpg"][:-9] + b"x" * 9))
    with pytest.raises(InputError, match=r"1 of 2 images .* 'b.jpg' \(damaged"):
        prepare("folder", path, data_dir=tmp_path / "data")


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


def test_preparing_again_writes_nothing_and_other_files_are_refused(tmp_path):
    source = zipped(tmp_path / "birds.zip", BIRDS)
    first = prepare("folder", source, data_dir=tmp_path / "data")

    def stamps():
        return {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*")}

    before = stamps()
    second = prepare(
        "folder",
        unpacked(tmp_path / "raw", BIRDS) / "birds",
        data_dir=tmp_path / "data",
    )
    assert second.again
    assert second.counts == first.counts
    assert stamps() == before
    other = zipped(tmp_path / "other.zip", {"x/a.jpg": picture(9)})
    with pytest.raises(InputError, match="--overwrite"):
        prepare("folder", other, data_dir=tmp_path / "data")
    with pytest.raises(InputError, match="--overwrite"):
        prepare("folder", source, data_dir=tmp_path / "data", pattern="{identity}/**")
    assert len(load("folder", data_dir=tmp_path / "data").train) == 4
    assert not prepare(
        "folder", other, data_dir=tmp_path / "data", overwrite=True
    ).again
    data = load("folder", data_dir=tmp_path / "data")
    assert data.train.names == ("a.jpg",)
    assert data.train.read(0) == picture(9)


KILLED = """
import os, signal, sys
from fgu_jax.data.prepare import prepare
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
from fgu_jax.data.prepare import prepare
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

    from fgu_jax.data.tfds_builder import BUILDERS

    manual = unpacked(tmp_path / "manual", MARKET)
    builder = BUILDERS["market1501"](data_dir=tmp_path, file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=manual)
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_config=config)
    want = load("market1501", data_dir=manual)
    assert_same(load("market1501", data_dir=tmp_path), want)


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(PREPARE), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_command_line(tmp_path):
    zipped(tmp_path / "m.zip", MARKET)
    done = run("--dataset=market1501", "--source=m.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {
        line.split("\u2502")[1].strip(): line
        for line in done.stdout.splitlines()
        if "\u2502" in line
    }
    assert "12,936" in lines["training images"]
    assert "DIFFERS" in lines["training images"]
    assert (tmp_path / "data" / "market1501" / "1.0.0").is_dir()
    done = run("--dataset=market1501", "--source=m.zip", cwd=tmp_path)
    assert "nothing written" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=markt1501", "--source=."], "did you mean 'market1501'"),
        (["--dataset=duke", "--source=nowhere.zip"], "is not there"),
        (["--dataset=duke", "--sorce=x"], "did you mean --source"),
        ([], "--dataset"),
    ],
)
def test_command_line_errors_are_one_line(tmp_path, arguments, message):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_command_line_help(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "bounding_box_train/" in done.stdout
