"""Large pictures are decoded once: the same pixels, whatever becomes of the cache."""

import errno
import multiprocessing
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgu_jax.data.decode import decode_image
from fgu_jax.data.decoded import cache as cache_module
from fgu_jax.data.decoded import once, room
from fgu_jax.data.decoded.cache import FEWEST, DecodedCache
from fgu_jax.data.decoded.once import decode_once, image_key, using
from fgu_jax.data.images import FolderSource, ImageSet
from fgu_jax.data.stream import StreamedImages

COUNT = FEWEST + 4
SIZE = (16, 8)
ROW = 16 * 8 * 3


def paint(path: Path, seed: int) -> None:
    """A picture over the size that is worth it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (150, 160, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


def image_set(folder: Path, boxes=None) -> ImageSet:
    names = tuple(sorted(path.name for path in folder.iterdir()))
    return ImageSet(names=names, keys=names, source=FolderSource(folder), boxes=boxes)


@pytest.fixture(scope="module")
def painted(tmp_path_factory) -> ImageSet:
    folder = tmp_path_factory.mktemp("large")
    for row in range(COUNT):
        paint(folder / f"{row:02d}.png", row)
    assert min(p.stat().st_size for p in folder.iterdir()) >= once.WORTH_BYTES
    return image_set(folder)


@pytest.fixture
def decodings(monkeypatch) -> list[int]:
    """Grows by one whenever a picture is decoded."""
    calls: list[int] = []

    def counted(data, height, width, **how):
        calls.append(height)
        return decode_image(data, height, width, **how)

    monkeypatch.setattr(once, "decode_image", counted)
    return calls


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "cache"


def decoded(images: ImageSet, folder: Path, size=SIZE, limit=1 << 30, **options):
    """The images by a process of its own, and what it tells."""
    cache = DecodedCache(folder, limit, **options)
    with using(cache):
        found = images.decode(*size)
    return found, cache.lines()


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.rows"))


def test_a_second_command_decodes_nothing_and_has_the_same_bits(
    painted, folder, decodings
):
    want = painted.decode(*SIZE)
    first, told = decoded(painted, folder)
    assert told == [
        f"decoded images: 0 of {COUNT} from the cache in {folder}, {COUNT} decoded anew"
    ]
    assert len(decodings) == 2 * COUNT
    second, told = decoded(painted, folder)
    assert told == [
        f"decoded images: {COUNT} of {COUNT} from the cache in {folder}, 0 decoded anew"
    ]
    assert len(decodings) == 2 * COUNT
    np.testing.assert_array_equal(first, want)
    np.testing.assert_array_equal(second, want)
    (shard,) = shards(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(shard.stat().st_mode) == 0o600


def test_a_stream_a_row_and_a_search_for_bad_ones_ask_it_too(
    painted, folder, decodings
):
    want = painted.decode(*SIZE)
    order = np.arange(COUNT).reshape(-1, 2)
    for expected in (COUNT, 0):
        decodings.clear()
        with using(DecodedCache(folder, 1 << 30)):
            streamed = StreamedImages(painted, *SIZE)
            for _ in range(2):  # an epoch each
                batches = list(streamed.batches(order, threads=2))
                np.testing.assert_array_equal(np.concatenate(batches), want)
            np.testing.assert_array_equal(painted.decode_row(3, *SIZE), want[3])
        assert len(decodings) == expected
    for expected in (COUNT, 0):
        decodings.clear()
        with using(DecodedCache(folder, 1 << 30)):
            assert painted.find_bad() == {}
        assert len(decodings) == expected


def test_other_sizes_boxes_and_ways_are_other_images(tmp_path, painted, folder):
    data = painted.read(0)
    keys = {
        image_key(data, 16, 8, box=None),
        image_key(data, 8, 16, box=None),
        image_key(data, 16, 8, box=(0, 0, 9, 9)),
        image_key(data, 16, 8, box=(0, 0, 9, 8)),
        image_key(data, 16, 8, box=None, resize="pad"),
        image_key(data + b"\0", 16, 8, box=None),
    }
    assert len(keys) == 6
    boxes = [(0, 0, 20 + row, 30) for row in range(COUNT)]
    boxed = image_set(painted.source.root, boxes=tuple(boxes))
    for images in (painted, boxed):
        for size in (SIZE, (8, 16), (9, 9)):
            want = images.decode(*size)
            for _ in range(2):
                got, told = decoded(images, folder, size)
                np.testing.assert_array_equal(got, want)
            assert f"{COUNT} of {COUNT}" in told[0]


def test_another_decoder_is_another_image(painted, monkeypatch):
    data = painted.read(0)
    before = image_key(data, 16, 8)
    monkeypatch.setattr(once, "_decoder", lambda: "another")
    assert image_key(data, 16, 8) != before


def test_what_decodes_is_told_by_its_source_or_else_its_version(monkeypatch):
    module = once.decode
    assert "def decode_image" in once._source(module)

    def none(_):
        raise OSError("could not get source code")

    monkeypatch.setattr(once.inspect, "getsource", none)
    assert once._source(module) == once.__version__


def test_a_picture_that_changed_under_its_name(tmp_path, folder, decodings):
    large = tmp_path / "large"
    large.mkdir()
    for row in range(COUNT):
        paint(large / f"{row}.png", row)
    decoded(image_set(large), folder)
    kept = (large / "3.png").stat()
    paint(large / "3.png", 99)
    os.utime(large / "3.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    want = image_set(large).decode(*SIZE)
    decodings.clear()
    got, _ = decoded(image_set(large), folder)
    np.testing.assert_array_equal(got, want)
    assert len(decodings) == 1


def test_small_files_and_few_images_leave_nothing(tmp_path, painted, folder):
    small = tmp_path / "small"
    small.mkdir()
    for row in range(COUNT):
        Image.new("RGB", (30, 30), (row, 0, 0)).save(small / f"{row}.png")
    assert decoded(image_set(small), folder)[1] == []
    assert not folder.exists()
    decoded(painted.take(range(FEWEST - 1)), folder)
    assert shards(folder) == []


def test_unreadable_pictures_stay_unreadable(tmp_path, painted, folder):
    cut = painted.read(0)[:70_000]
    large = tmp_path / "large"
    large.mkdir()
    (large / "cut.png").write_bytes(cut)
    for _ in range(2):
        with using(DecodedCache(folder, 1 << 30)):
            assert list(image_set(large).find_bad()) == ["cut.png"]


def test_many_shards(painted, folder, decodings, monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_BYTES", 3 * ROW)
    want, _ = decoded(painted, folder)
    assert len(shards(folder)) == -(-COUNT // 3)
    decodings.clear()
    np.testing.assert_array_equal(decoded(painted, folder)[0], want)
    assert decodings == []


def test_what_was_used_longest_ago_makes_room(painted, folder, monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_BYTES", ROW)
    one = painted.take
    decoded(one(range(FEWEST)), folder)
    size = shards(folder)[0].stat().st_size
    for age, path in enumerate(shards(folder)):
        os.utime(path, (1000 + age, 1000 + age))
    oldest = shards(folder)[:2]
    decoded(one([FEWEST, FEWEST + 1]), folder, limit=FEWEST * size)
    assert len(shards(folder)) == FEWEST
    assert not any(path.exists() for path in oldest)
    # What a command uses itself it does not remove, and it keeps no more.
    got, told = decoded(painted, folder, limit=4 * size)
    np.testing.assert_array_equal(got, painted.decode(*SIZE))
    assert told[1].startswith("  no more images are kept: there is no room beside")
    assert len(told) == 2


def test_a_small_disk_and_many_files_are_bounds_too(painted, folder, monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_BYTES", ROW)
    monkeypatch.setattr(room, "MOST_SHARDS", 5)
    decoded(painted, folder)
    assert len(shards(folder)) == 5
    monkeypatch.setattr(room, "DISK_SHARE", 1e-12)
    assert "no room" in decoded(painted.take(range(8, COUNT)), folder, (9, 9))[1][1]


def test_leftovers_of_killed_processes_go(painted, folder):
    folder.mkdir(mode=0o700)
    old, new = folder / "8x8-host-1.new.rows", folder / "8x8-host-2.new.rows"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    decoded(painted, folder)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_cannot_be_written(painted, folder, monkeypatch, code):
    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fgu_jax.data.decoded.shards.os.replace", fails)
    got, told = decoded(painted, folder)
    np.testing.assert_array_equal(got, painted.decode(*SIZE))
    assert told[1:] == [f"  no more images are kept: {os.strerror(code)}"]
    assert list(folder.iterdir()) == []


def test_a_disk_that_is_full(painted, small_disk, monkeypatch):
    folder = small_disk / "cache"
    folder.mkdir(mode=0o700)
    free = os.statvfs(small_disk)
    (small_disk / "fill").write_bytes(bytes(free.f_bavail * free.f_bsize))
    assert "there is no room" in decoded(painted, folder)[1][1]
    # As where it fills up in between.
    monkeypatch.setattr(cache_module, "make_room", lambda *_, **__: True)
    got, told = decoded(painted, folder)
    np.testing.assert_array_equal(got, painted.decode(*SIZE))
    assert told[1:] == ["  no more images are kept: No space left on device"]
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_read_only_is_read(painted, folder, decodings, monkeypatch):
    decoded(painted, folder)
    decodings.clear()
    monkeypatch.setattr(os, "access", lambda *_: False)
    decoded(painted, folder)
    assert decodings == []
    _, told = decoded(painted, folder, (9, 9))
    assert told[1:] == ["  no more images are kept: its folder is not writable"]
    assert len(shards(folder)) == 1


def test_a_folder_that_others_may_write_is_not_used(painted, folder, monkeypatch):
    folder.mkdir()
    want = painted.decode(*SIZE)
    for mode in (0o777, 0o770, 0o702):
        folder.chmod(mode)
        got, told = decoded(painted, folder)
        np.testing.assert_array_equal(got, want)
        assert len(told) == 2
        assert told[1].startswith("  the cache is not used: others may write")
    folder.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert "others may write" in decoded(painted, folder)[1][1]
    assert list(folder.iterdir()) == []


def test_a_place_where_no_folder_can_be(painted, tmp_path):
    (tmp_path / "file").touch()
    got, told = decoded(painted, tmp_path / "file" / "cache")
    np.testing.assert_array_equal(got, painted.decode(*SIZE))
    assert told[1:] == ["  the cache is not used: Not a directory"]


def test_a_folder_that_is_taken_away(painted, folder, decodings):
    decoded(painted, folder)
    cache = DecodedCache(folder, 1 << 30)
    with using(cache):
        painted.decode_row(0, *SIZE)
        shards(folder)[0].unlink()
        folder.rmdir()
        got = painted.decode(*SIZE)
    np.testing.assert_array_equal(got, painted.decode(*SIZE))
    assert cache.lines()[1:] == ["  the cache is not used: No such file or directory"]


def _fill(folder: Path, images: ImageSet, start) -> None:
    start.wait()
    decoded(images, folder)


def test_two_processes_that_fill_it_at_once(painted, folder, decodings):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    halves = [painted.take(range(COUNT)), painted.take(range(COUNT - 1, -1, -1))]
    both = [
        context.Process(target=_fill, args=(folder, images, start)) for images in halves
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=120)
        assert process.exitcode == 0
    got, told = decoded(painted, folder)
    assert decodings == []
    assert len(told) == 1
    np.testing.assert_array_equal(got, painted.decode(*SIZE))


def test_nothing_is_asked_outside(painted, folder, decodings):
    with using(DecodedCache(folder, 1 << 30)), using(None):
        decode_once(painted.read(0), *SIZE)
    assert len(decodings) == 1
    assert not folder.exists()
