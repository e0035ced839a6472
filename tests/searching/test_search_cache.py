"""Search: features that are kept, and whose they are."""

import dataclasses
import hashlib
import os
import re
import sqlite3

import numpy as np
import pytest
from search_folders import (
    HOSTILE,
    Colours,
    color_of,
    names_found,
    paint,
    search_in,
)

from fgu_jax import searching
from fgu_jax._version import __version__
from fgu_jax.config import presets
from fgu_jax.inference.embedder import Embedder
from fgu_jax.searching import features


def test_the_cache_gives_the_same_and_computes_nothing_again(folders):
    file = folders / "cache.sqlite"
    network = Colours()
    first = search_in(folders, network, file)
    assert network.seen == 12
    assert first.gallery.num_cached == 0
    again = search_in(folders, network, file)
    assert network.seen == 12
    assert again.gallery.num_cached == 9
    np.testing.assert_array_equal(again.gallery.features, first.gallery.features)
    np.testing.assert_array_equal(again.indices, first.indices)
    np.testing.assert_array_equal(again.distances, first.distances)


def test_a_renamed_file_is_known_and_a_changed_one_is_not(folders):
    file, gallery = folders / "cache.sqlite", folders / "gallery"
    network = Colours()
    search_in(folders, network, file)
    (gallery / "plain.png").rename(gallery / "moved.png")
    times = os.stat(gallery / "moved.png")
    moved = search_in(folders, network, file)
    assert network.seen == 12
    assert names_found(moved, 0)[0] == "moved.png"
    # Another content under the old name and date.
    paint(gallery / "moved.png", color_of(8))
    os.utime(gallery / "moved.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = search_in(folders, network, file)
    assert changed.gallery.num_cached == 9  # its content is that of another image
    assert network.seen == 12
    assert set(names_found(changed, 2)[:2]) == {"moved.png", HOSTILE[8]}
    paint(gallery / "moved.png", (1, 2, 3))
    assert search_in(folders, network, file).gallery.num_cached == 8
    assert network.seen == 13


def test_another_network_does_not_see_the_features(folders):
    file = folders / "cache.sqlite"
    search_in(folders, Colours(), file)
    other = Colours()
    other.identity = "another"
    assert search_in(folders, other, file).gallery.num_cached == 0
    assert other.seen == 12


def test_copies_are_embedded_once_and_all_found(folders):
    data = (folders / "gallery" / "plain.png").read_bytes()
    (folders / "gallery" / "copy.png").write_bytes(data)
    (folders / "query" / "q0.png").write_bytes(data)
    network = Colours()
    matches = search_in(folders, network)
    assert network.seen == 3 + 9
    assert names_found(matches, 0)[:2] == ["copy.png", "plain.png"]
    assert [matches.same_file(0, row) for row in matches.indices[0][:3]] == [1, 1, 0]


@pytest.mark.parametrize("content", [b"no database at all" * 99, b"SQLite format 3\0"])
def test_a_broken_cache_is_said_and_costs_no_search(folders, content):
    file = folders / "cache.sqlite"
    file.write_bytes(content)
    with searching.FeatureCache(file, "colours") as cache:
        matches = searching.search(
            Colours(), folders / "query", folders / "gallery", cache=cache
        )
    assert "cache.sqlite" in cache.trouble
    if len(content) > 99:
        assert cache.trouble.endswith("delete it, and the next search makes it anew")
    assert names_found(matches, 0)[0] == "plain.png"


def test_a_cache_that_breaks_while_it_is_read_costs_no_search(folders):
    file = folders / "cache.sqlite"
    whole = search_in(folders, Colours(), file)
    with searching.FeatureCache(file, "colours") as cache:
        listed = cache.known
        cache.known = lambda: (listed(), cache._give_up(OSError("gone")))[0]
        network = Colours()
        matches = searching.search(
            network, folders / "query", folders / "gallery", cache=cache
        )
    assert cache.trouble.endswith("gone")
    np.testing.assert_array_equal(matches.indices, whole.indices)
    assert network.seen == 12


def _damage(file, change, rows=-1):
    """Changes some features of a cache; -1: all."""
    with sqlite3.connect(file) as other:
        kept = other.execute("select image, feature from features limit ?", (rows,))
        for image, feature in kept.fetchall():
            other.execute(
                "update features set feature = ? where image = ?",
                (change(feature), image),
            )
    other.close()


@pytest.mark.parametrize("rows", [1, 4, 11, -1])
@pytest.mark.parametrize(
    "change",
    [
        lambda feature: feature[:-4],
        lambda feature: feature[:-3],
        lambda feature: feature[:8],
        lambda feature: feature + feature,
        lambda feature: b"",
        lambda feature: None,
        lambda feature: "text",
        lambda feature: b"\xff" * len(feature),
        lambda feature: b"\0" * len(feature),
    ],
)
def test_damaged_features_are_made_anew_and_told(folders, change, rows):
    file = folders / "cache.sqlite"
    whole = search_in(folders, Colours(), file)
    _damage(file, change, rows)
    paint(
        folders / "gallery" / "plain.png", color_of(5)
    )  # a copy: its own is not asked for
    network = Colours()
    with searching.FeatureCache(file, "colours") as cache:
        matches = searching.search(
            network, folders / "query", folders / "gallery", cache=cache
        )
    assert matches.gallery.features.shape == whole.gallery.features.shape
    count = int(re.search(r"damaged and are made anew: (\d+)$", cache.trouble)[1])
    assert count == network.seen >= (rows if rows > 0 else 12) - 1
    again = Colours()
    repaired = search_in(folders, again, file)  # nothing to be told
    assert again.seen == 0
    np.testing.assert_array_equal(repaired.distances, matches.distances)


def test_a_damaged_feature_is_made_anew_beside_a_new_one(folders):
    """Most of the file is damaged alike, so that the network alone tells the width."""
    file = folders / "cache.sqlite"
    search_in(folders, Colours(), file)
    cut = np.array([0.6, 0.8], "<f4").tobytes()  # a unit row of another width
    _damage(file, lambda feature: cut)
    paint(folders / "query" / "q0.png", (9, 8, 7))
    paint(folders / "gallery" / "new.png", (7, 8, 9))
    network = Colours()
    with searching.FeatureCache(file, "colours") as cache:
        found = searching.search(
            network, folders / "query", folders / "gallery", cache=cache
        )
    assert cache.trouble.endswith("made anew: 11")
    assert network.seen == 13
    np.testing.assert_array_equal(
        found.distances, search_in(folders, Colours()).distances
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda cache: cache.known(),
        lambda cache: cache.read([b"1"]),
        lambda cache: cache.keep({b"1": np.ones(3, np.float32)}),
    ],
)
def test_a_cache_whose_table_is_gone_is_said(tmp_path, use):
    with searching.FeatureCache(tmp_path / "file", "x") as cache:
        with sqlite3.connect(tmp_path / "file") as other:
            other.execute("drop table features")
        other.close()
        assert not use(cache)
        assert "no such table" in cache.trouble
        assert not use(cache)


def test_what_was_embedded_before_an_interruption_is_kept(folders, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 3)
    file = folders / "cache.sqlite"

    class Interrupted(Colours):
        def __call__(self, images):
            if self.seen >= 6:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        search_in(folders, Interrupted(), file)
    network = Colours()
    whole = search_in(folders, network, file)
    assert network.seen == 12 - 6
    np.testing.assert_array_equal(whole.indices, search_in(folders, network).indices)


def test_a_cache_that_cannot_be_made_is_said(folders):
    with searching.FeatureCache(folders / "missing" / "file", "x") as cache:
        assert "unable to open" in cache.trouble
        cache.keep({b"1": np.ones(3, np.float32)})
        assert cache.known() == set()


def test_a_cache_locked_by_another_is_read_later(folders, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path: connect(path, timeout=0))
    file = folders / "cache.sqlite"
    with searching.FeatureCache(file, "colours"):
        pass
    other = connect(file, isolation_level=None)
    other.execute("begin exclusive")
    with searching.FeatureCache(file, "colours") as cache:
        matches = searching.search(
            Colours(), folders / "query", folders / "gallery", cache=cache
        )
    other.close()
    assert "locked" in cache.trouble
    assert matches.indices.shape == (3, 9)


def test_a_network_is_known_by_its_weights_and_shape():
    config = presets.resolve({"preset": "quick"})
    weights = {"params": {"w": np.arange(6.0, dtype=np.float32)}, "batch_stats": {}}
    same = {"params": {"w": np.arange(6.0, dtype=np.float32)}, "batch_stats": {}}
    other = {"params": {"w": np.arange(6.0, dtype=np.float32) + 1}, "batch_stats": {}}
    renamed = {"params": {"v": np.arange(6.0, dtype=np.float32)}, "batch_stats": {}}
    known = Embedder(config, weights).identity
    assert re.fullmatch("[0-9a-f]{32}", known)
    trained_longer = dataclasses.replace(config, epochs=9, workdir="elsewhere")
    assert Embedder(trained_longer, same).identity == known
    larger = dataclasses.replace(config, image_height=128)
    found = [
        Embedder(config, other).identity,
        Embedder(config, renamed).identity,
        Embedder(larger, same).identity,
    ]
    assert len({known, *found}) == 4


def test_what_was_kept_before_a_field_came_is_still_found():
    """By the digest of the first version, which knew eight fields of a network."""
    config = presets.resolve({"preset": "quick"})
    weights = {"params": {"w": np.arange(6.0, dtype=np.float32)}, "batch_stats": {}}
    fields = ["resnet_tiny", 64, 32, 4, 64, "stripes", False, "float32"]
    first = hashlib.blake2b(repr((__version__, fields)).encode(), digest_size=16)
    first.update(b"['params']['w'] float32" + weights["params"]["w"].tobytes())
    assert Embedder(config, weights).identity == first.hexdigest()
    for change in ({"pooling": "gem"}, {"resize": "pad"}):
        other = dataclasses.replace(config, **change)
        assert Embedder(other, weights).identity != first.hexdigest()
