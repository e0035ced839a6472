"""Preparing again: the same files write nothing, and what changed is noticed."""

import json

import pytest
from archives import BIRDS, load, picture, unpacked, zipped

from fgu_jax.data.layouts.tree import Entry, Layout
from fgu_jax.data.prepared.contents import content_of
from fgu_jax.data.prepared.write import prepare
from fgu_jax.errors import InputError


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


def _four(folder, first):
    return unpacked(folder, {f"{i}.png": picture(first + i, "PNG") for i in range(4)})


def test_pictures_that_changed_under_their_names_are_other_files(tmp_path):
    source, data = _four(tmp_path / "crops", 0), tmp_path / "data"
    prepare("folder", source, data_dir=data)
    _four(source, 10)
    with pytest.raises(InputError, match=r"of these names with other contents.*--over"):
        prepare("folder", source, data_dir=data)
    assert not prepare("folder", source, data_dir=data, overwrite=True).again
    train = load("folder", data_dir=data).train
    got = {name: train.read(row) for row, name in enumerate(train.names)}
    assert got == {f"{i}.png": picture(10 + i, "PNG") for i in range(4)}
    calls = []
    again = prepare(
        "folder", source, data_dir=data, progress=lambda *call: calls.append(call)
    )
    assert (again.again, again.doubt) == (True, "")
    assert calls[-1] == (4, 4, "comparing images")
    (source / "2.png").unlink()
    (source / "2.png").symlink_to("3.png")
    with pytest.raises(InputError, match="other contents"):
        prepare("folder", source, data_dir=data)


def test_boxes_and_tracks_are_content_too():
    def content(box, track):
        entry = Entry("a.png", "a.png", 1, 1, box, track)
        return content_of(Layout(splits={"train": [entry]}), {"a.png": "0"})

    contents = {content(b, t) for b in (None, (0, 0, 2, 2)) for t in (None, 3)}
    assert len(contents) == 4
    assert content((0, 0, 2, 2), 3) in contents


def test_what_an_earlier_version_prepared_is_read_and_the_doubt_is_told(tmp_path):
    source, data = _four(tmp_path / "crops", 0), tmp_path / "data"
    metadata = prepare("folder", source, data_dir=data).root / "metadata.json"
    note = json.loads(metadata.read_text())
    del note["content"]
    metadata.write_text(json.dumps(note))
    report = prepare("folder", source, data_dir=data)
    assert report.again
    assert "earlier version" in report.doubt
    assert "--overwrite" in report.doubt
    assert len(load("folder", data_dir=data).train) == 4
    with pytest.raises(InputError, match="other files or labels"):
        prepare("folder", unpacked(source, {"5.png": picture(5)}), data_dir=data)
    (source / "5.png").unlink()
    assert not prepare("folder", source, data_dir=data, overwrite=True).doubt
