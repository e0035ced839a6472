"""Archives that are hostile, damaged, or hold names of any bytes."""

import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest
from archives import BIRDS, MARKET, load, picture, tarred, zipped

from fgu_jax.data.layouts.archive import open_tree
from fgu_jax.data.prepared.write import prepare
from fgu_jax.errors import InputError


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
