"""Search: the ranking, and images and paths that cannot be searched."""

import hashlib
import io

import numpy as np
import pytest
from rich.console import Console
from search_folders import (
    HOSTILE,
    Colours,
    break_some,
    names_found,
    search_in,
)

from fgu_jax import searching
from fgu_jax.data.decode import decode_image
from fgu_jax.data.images import FolderSource
from fgu_jax.errors import InputError
from fgu_jax.searching import result


def test_matches_are_those_of_a_sort_over_all_distances(folders):
    network = Colours()
    matches = search_in(folders, network, top=5)
    assert matches.query.names == ("q0.png", "q4.png", "q8.png")
    assert matches.gallery.names == tuple(sorted(matches.gallery.names))
    assert len(matches.gallery.names) == 9
    for i in range(3):
        gaps = matches.gallery.features - matches.query.features[i][None, :]
        distances = np.linalg.norm(gaps.astype(np.float64), axis=1)
        assert matches.indices[i].tolist() == np.argsort(distances)[:5].tolist()
        np.testing.assert_allclose(
            matches.distances[i], np.sort(distances)[:5], atol=1e-6
        )
    assert [names_found(matches, i)[0] for i in range(3)] == [
        "plain.png",
        HOSTILE[4],
        HOSTILE[8],
    ]


def test_features_are_those_of_the_pictures_themselves(folders):
    matches = search_in(folders, Colours())
    row = matches.gallery.names.index("plain.png")
    data = (folders / "gallery" / "plain.png").read_bytes()
    expected = Colours()(decode_image(data, 8, 4)[None])[0]
    np.testing.assert_array_equal(matches.gallery.features[row], expected)
    assert matches.gallery.digests[row] == hashlib.sha256(data).digest()


def test_a_single_image_is_a_query_and_top_is_cut_to_the_gallery(folders):
    with searching.FeatureCache(None, "") as cache:
        matches = searching.search(
            Colours(), folders / "query" / "q4.png", folders / "gallery", cache=cache
        )
    assert matches.query.names == ("q4.png",)
    assert matches.indices.shape == (1, 9)


def test_unreadable_images_are_named_and_left_out(folders):
    bad = break_some(folders)
    matches = search_in(folders, Colours())
    assert set(matches.gallery.unreadable) == bad - {"pipe.png", "nowhere.png"}
    left_out = matches.gallery.reading.left_out
    assert left_out.keys() == bad | {"notes.txt"}
    assert left_out["pipe.png"] == "a named pipe"
    assert left_out["nowhere.png"] == "a link to nothing"
    assert matches.gallery.unreadable["empty.jpg"] == "zero bytes"
    assert all(matches.gallery.unreadable.values())
    assert matches.query.unreadable == {"zero.png": "zero bytes"}
    assert not bad & set(matches.gallery.names)
    record = result.as_record(matches, "x")
    unreadable = {entry["image"] for entry in record["unreadable_gallery"]}
    assert unreadable == bad - {"pipe.png", "nowhere.png"}
    assert record["gallery_reading"]["left_out"]["a named pipe"]["files"] == 1
    assert record["unreadable_queries"] == [
        {"image": "zero.png", "reason": "zero bytes"}
    ]
    for row in range(10):
        (folders / "query" / f"bad{row}.png").write_bytes(b"")
    console = Console(file=io.StringIO(), width=200)
    searching.print_matches(console, search_in(folders, Colours()))
    printed = console.file.getvalue()
    assert "11 of 14 query images cannot be read" in printed
    assert "and 1 more, all in matches.json" in printed
    assert "3 of 12 gallery images cannot be read" in printed
    assert "text\\n.png" in printed


def test_a_file_that_may_not_be_read_is_named(folders, monkeypatch):
    read = FolderSource.read

    def refuse(self, key):
        if key == "plain.png":
            raise PermissionError(13, "Permission denied", key)
        return read(self, key)

    monkeypatch.setattr(FolderSource, "read", refuse)
    matches = search_in(folders, Colours())
    assert matches.gallery.unreadable == {"plain.png": "Permission denied"}


def test_a_folder_without_one_readable_image_is_refused(folders):
    for path in (folders / "query").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"not one of 3 query images.*'q0.png' \(zero"):
        search_in(folders, Colours())


def test_paths_that_cannot_be_searched_are_refused(folders):
    def search(query, gallery, **options):
        with searching.FeatureCache(None, "") as cache:
            searching.search(
                Colours(), folders / query, folders / gallery, cache=cache, **options
            )

    (folders / "none").mkdir()
    with pytest.raises(InputError, match=r"query '.*missing' does not exist"):
        search("missing", "gallery")
    with pytest.raises(InputError, match=r"gallery '.*none' has no images"):
        search("query", "none")
    with pytest.raises(InputError, match=r"gallery '.*q0.png' is a file"):
        search("query", "query/q0.png")
    with pytest.raises(InputError, match="top is 0"):
        search("query", "gallery", top=0)
