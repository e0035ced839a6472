"""Shards of decoded images: what was written, or nothing."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from fgu_jax.data.decoded import shards
from fgu_jax.data.decoded.cache import DecodedCache
from fgu_jax.data.decoded.shards import (
    DamagedShard,
    ForeignShard,
    open_shard,
    shard_bytes,
    shard_size,
    write_shard,
)

HEADER = shards._HEADER.size


def images(count: int = 5, height: int = 4, width: int = 3) -> dict[bytes, np.ndarray]:
    drawn = np.random.default_rng(0)
    return {
        drawn.bytes(32): drawn.integers(0, 256, (height, width, 3), np.uint8)
        for _ in range(count)
    }


def test_what_is_written_is_read(tmp_path):
    rows = images()
    made = write_shard(tmp_path, rows)
    assert [path.name for path in tmp_path.iterdir()] == [made.path.name]
    assert shard_size(made.path.name) == (4, 3)
    assert made.path.stat().st_size == shard_bytes(4, 3, 5)
    found = open_shard(made.path)
    assert found == made
    for key, image in rows.items():
        np.testing.assert_array_equal(found.read(key), image)


def test_the_layout(tmp_path):
    """By hand, so that another version is called so."""
    (key, image), *_ = images(1).items()
    data = write_shard(tmp_path, {key: image}).path.read_bytes()
    assert data[:28] == b"\x93FGUROWS" + struct.pack("<IIIQ", 1, 4, 3, 1)
    assert data[60:92] == key
    assert data[96:] == image.tobytes()


def changed(tmp_path: Path, change) -> Path:
    path = write_shard(tmp_path, images()).path
    path.write_bytes(change(bytearray(path.read_bytes())))
    return path


def put(at: int, value: bytes):
    def change(data: bytearray) -> bytearray:
        data[at : at + len(value)] = value
        return data

    return change


@pytest.mark.parametrize(
    ("change", "kind", "why"),
    [
        (put(0, b"NUMPY"), ForeignShard, "no file of decoded"),
        (put(8, struct.pack("<I", 2)), ForeignShard, "of version 2, not 1"),
        (lambda data: data[:-1], DamagedShard, "cut off"),
        (lambda data: data + b"x", DamagedShard, "cut off"),
        (lambda data: data[:40], DamagedShard, "cut off"),
        (lambda data: data[:4], DamagedShard, "cut off"),
        (lambda data: b"", DamagedShard, "cut off"),
        (put(20, struct.pack("<Q", 2**63)), DamagedShard, "cut off"),
        (put(12, struct.pack("<II", 3, 4)), DamagedShard, "another index"),
        (put(30, b"digest"), DamagedShard, "another index"),
        (put(60, b"garbage"), DamagedShard, "another index"),
    ],
)
def test_a_file_that_is_not_right_is_refused(tmp_path, change, kind, why):
    with pytest.raises(kind, match=why):
        open_shard(changed(tmp_path, change))


def test_pixels_that_are_not_right_are_refused(tmp_path):
    shard = write_shard(tmp_path, images())
    keys = list(shard.places)
    data = bytearray(shard.path.read_bytes())
    data[-1] ^= 1
    shard.path.write_bytes(data)
    shard.read(keys[0])
    with pytest.raises(DamagedShard, match="other pixels"):
        open_shard(shard.path).read(keys[-1])
    shard.path.write_bytes(data[:-40])
    with pytest.raises(DamagedShard, match="other pixels"):
        shard.read(keys[-1])
    shard.path.unlink()
    with pytest.raises(FileNotFoundError):
        shard.read(keys[0])


def test_a_name_of_another_size_and_an_empty_shard(tmp_path, monkeypatch):
    path = write_shard(tmp_path, images()).path
    other = path.rename(tmp_path / path.name.replace("4x3", "3x4"))
    with pytest.raises(DamagedShard, match="images of 4 x 3"):
        open_shard(other)
    twice = write_shard(tmp_path, images(2)).path
    data = bytearray(twice.read_bytes())
    data[96:132] = data[60:96]
    index = bytes(data[60:132])
    data[28:60] = shards._DIGEST(bytes(data[:28]) + index).digest()
    twice.write_bytes(data)
    with pytest.raises(DamagedShard, match="one twice"):
        open_shard(twice)


def test_what_others_may_write_or_is_no_file_is_left_alone(tmp_path, monkeypatch):
    path = write_shard(tmp_path, images()).path
    path.chmod(0o622)
    with pytest.raises(ForeignShard, match="written by others"):
        open_shard(path)
    path.chmod(0o600)
    link = tmp_path / "4x3-0000000000000000.rows"
    link.symlink_to(path)
    with pytest.raises(ForeignShard, match="no plain file"):
        open_shard(link)
    pipe = tmp_path / "4x3-0000000000000001.rows"
    os.mkfifo(pipe)
    with pytest.raises(ForeignShard, match="no plain file"):
        open_shard(pipe)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ForeignShard, match="written by others"):
        open_shard(path)


def test_the_cache_removes_what_is_damaged_and_leaves_the_rest(tmp_path):
    tmp_path.chmod(0o700)
    rows = images()
    (key, _), *_ = rows.items()
    cut, foreign = (write_shard(tmp_path, rows).path for _ in range(2))
    cut.write_bytes(cut.read_bytes()[:-9])
    foreign.write_bytes(b"somebody's own file")
    named = tmp_path / "4x3.txt"
    named.write_text("notes")
    cache = DecodedCache(tmp_path, 1 << 30)
    assert cache.find(key, 4, 3) is None
    cache.keep(key, rows[key])
    assert cache.lines()[1:] in (
        [
            "  a file that is cut off was removed",
            "  a file that is no file of decoded images is left alone",
        ],
        [
            "  a file that is no file of decoded images is left alone",
            "  a file that is cut off was removed",
        ],
    )
    assert sorted(tmp_path.iterdir()) == sorted([named, foreign])


@pytest.mark.parametrize("seed", range(4))
def test_no_damage_gives_a_wrong_image_or_an_error(tmp_path, seed):
    """Bits, stretches and lengths at random: an image is right or is not found."""
    tmp_path.chmod(0o700)
    drawn, rows = np.random.default_rng(seed), images()
    whole = write_shard(tmp_path, rows).path
    good, found = whole.read_bytes(), 0
    for _ in range(150):
        data, way = bytearray(good), drawn.integers(4)
        at = int(drawn.integers(len(data)))
        # Half of the changes in the header and the index, which are the smaller part.
        at = at if drawn.random() < 0.5 else at % (HEADER + 32 + 5 * 36)
        if way == 0:
            data[at] ^= 1 << int(drawn.integers(8))
        elif way == 1:
            data[at : at + 9] = drawn.bytes(len(data[at : at + 9]))
        elif way == 2:
            del data[at:]
        else:
            other = int(drawn.integers(len(data)))
            data[at:], data[other:] = data[other:], data[at:]
        whole.write_bytes(data)
        cache = DecodedCache(tmp_path, 1 << 30)
        for key, image in rows.items():
            got = cache.find(key, 4, 3)
            if got is not None:
                np.testing.assert_array_equal(got, image)
                found += 1
        assert len(cache.lines()) <= 3
    assert found > 0
