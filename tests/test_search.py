"""Search: ranking, cache, output folder, page; a hand-made network, no training."""

import dataclasses
import hashlib
import html
import importlib.util
import io
import json
import os
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import fgu_jax
from fgu_jax import command_line, presets, searching
from fgu_jax.data.decode import decode_image
from fgu_jax.data.images import FolderSource
from fgu_jax.embedder import Embedder
from fgu_jax.errors import InputError
from fgu_jax.searching import features, result
from fgu_jax.searching.page import thumbnail_name

ROOT = Path(__file__).parents[1]
HOSTILE = [
    "plain.png",
    "two words.png",
    "line\nbreak.png",
    "<script>alert(1)</script>.png".replace("/", "\N{FRACTION SLASH}"),
    "</script>.png".replace("/", "\N{FRACTION SLASH}"),
    "quote\"and'quote.png",
    "{{data}}.png",
    "[bold]markup[.png",
    os.fsdecode(b"caf\xe9.png"),
]


class Colours:
    """A network whose features are the mean colours of two stripes."""

    size = (8, 4)
    identity = "colours"

    def __init__(self):
        self.seen = 0

    def __call__(self, images):
        assert images.shape[1:] == (8, 4, 3)
        self.seen += len(images)
        flat = images.reshape(len(images), 2, 16, 3).mean(axis=2).reshape(-1, 6) + 1
        return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)


def _paint(path, color, size=(12, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, color)
    image.paste((200, 30, 90), (0, size[1] // 2, size[0], size[1]))
    image.save(path, "PNG")


def _color(row):
    return (25 * row % 256, 255 - 20 * row, 60 + 7 * row)


@pytest.fixture
def folders(tmp_path):
    """A folder of nine images with hostile names, and one of three queries."""
    for row, name in enumerate(HOSTILE):
        below = tmp_path / "gallery" / "sub" if row % 2 else tmp_path / "gallery"
        _paint(below / name, _color(row))
    for row in (0, 4, 8):
        r, g, b = _color(row)
        _paint(tmp_path / "query" / f"q{row}.png", (r, g, b + 2))
    (tmp_path / "gallery" / "notes.txt").write_text("not a picture")
    return tmp_path


def _search(folders, network, cache=None, **options):
    with searching.FeatureCache(cache, network.identity) as opened:
        found = searching.search(
            network, folders / "query", folders / "gallery", cache=opened, **options
        )
    assert opened.trouble is None
    return found


def _rows(matches, query):
    return [matches.gallery.names[row] for row in matches.indices[query]]


def test_matches_are_those_of_a_sort_over_all_distances(folders):
    network = Colours()
    matches = _search(folders, network, top=5)
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
    assert [_rows(matches, i)[0] for i in range(3)] == [
        "plain.png",
        HOSTILE[4],
        HOSTILE[8],
    ]


def test_features_are_those_of_the_pictures_themselves(folders):
    matches = _search(folders, Colours())
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


def test_the_cache_gives_the_same_and_computes_nothing_again(folders):
    file = folders / "cache.sqlite"
    network = Colours()
    first = _search(folders, network, file)
    assert network.seen == 12
    assert first.gallery.num_cached == 0
    again = _search(folders, network, file)
    assert network.seen == 12
    assert again.gallery.num_cached == 9
    np.testing.assert_array_equal(again.gallery.features, first.gallery.features)
    np.testing.assert_array_equal(again.indices, first.indices)
    np.testing.assert_array_equal(again.distances, first.distances)


def test_a_renamed_file_is_known_and_a_changed_one_is_not(folders):
    file, gallery = folders / "cache.sqlite", folders / "gallery"
    network = Colours()
    _search(folders, network, file)
    (gallery / "plain.png").rename(gallery / "moved.png")
    times = os.stat(gallery / "moved.png")
    moved = _search(folders, network, file)
    assert network.seen == 12
    assert _rows(moved, 0)[0] == "moved.png"
    # Another content under the old name and date.
    _paint(gallery / "moved.png", _color(8))
    os.utime(gallery / "moved.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = _search(folders, network, file)
    assert changed.gallery.num_cached == 9  # its content is that of another image
    assert network.seen == 12
    assert set(_rows(changed, 2)[:2]) == {"moved.png", HOSTILE[8]}
    _paint(gallery / "moved.png", (1, 2, 3))
    assert _search(folders, network, file).gallery.num_cached == 8
    assert network.seen == 13


def test_another_network_does_not_see_the_features(folders):
    file = folders / "cache.sqlite"
    _search(folders, Colours(), file)
    other = Colours()
    other.identity = "another"
    assert _search(folders, other, file).gallery.num_cached == 0
    assert other.seen == 12


def test_copies_are_embedded_once_and_all_found(folders):
    data = (folders / "gallery" / "plain.png").read_bytes()
    (folders / "gallery" / "copy.png").write_bytes(data)
    (folders / "query" / "q0.png").write_bytes(data)
    network = Colours()
    matches = _search(folders, network)
    assert network.seen == 3 + 9
    assert _rows(matches, 0)[:2] == ["copy.png", "plain.png"]
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
    assert _rows(matches, 0)[0] == "plain.png"


def test_a_cache_that_breaks_while_it_is_read_costs_no_search(folders):
    file = folders / "cache.sqlite"
    whole = _search(folders, Colours(), file)
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
        _search(folders, Interrupted(), file)
    network = Colours()
    whole = _search(folders, network, file)
    assert network.seen == 12 - 6
    np.testing.assert_array_equal(whole.indices, _search(folders, network).indices)


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


def _break_some(folders):
    gallery = folders / "gallery"
    whole = (gallery / "plain.png").read_bytes()
    (gallery / "cut.png").write_bytes(whole[:50])
    (gallery / "empty.jpg").write_bytes(b"")
    (gallery / "text\n.png").write_text("not a picture")
    (gallery / "nowhere.png").symlink_to(folders / "nothing")
    os.mkfifo(gallery / "pipe.png")
    (folders / "query" / "zero.png").write_bytes(b"")
    return {"cut.png", "empty.jpg", "text\n.png", "nowhere.png", "pipe.png"}


def test_unreadable_images_are_named_and_left_out(folders):
    bad = _break_some(folders)
    matches = _search(folders, Colours())
    assert set(matches.gallery.unreadable) == bad
    assert matches.gallery.unreadable["empty.jpg"] == "zero bytes"
    assert all(matches.gallery.unreadable.values())
    assert matches.query.unreadable == {"zero.png": "zero bytes"}
    assert not bad & set(matches.gallery.names)
    record = result.as_record(matches, "x")
    assert {entry["image"] for entry in record["unreadable_gallery"]} == bad
    assert record["unreadable_queries"] == [
        {"image": "zero.png", "reason": "zero bytes"}
    ]
    for row in range(10):
        (folders / "query" / f"bad{row}.png").write_bytes(b"")
    console = Console(file=io.StringIO(), width=200)
    searching.print_matches(console, _search(folders, Colours()))
    printed = console.file.getvalue()
    assert "11 of 14 query images cannot be read" in printed
    assert "and 1 more, all in matches.json" in printed
    assert "5 of 14 gallery images cannot be read" in printed
    assert "text\\n.png" in printed


def test_a_file_that_may_not_be_read_is_named(folders, monkeypatch):
    read = FolderSource.read

    def refuse(self, key):
        if key == "plain.png":
            raise PermissionError(13, "Permission denied", key)
        return read(self, key)

    monkeypatch.setattr(FolderSource, "read", refuse)
    matches = _search(folders, Colours())
    assert matches.gallery.unreadable == {"plain.png": "Permission denied"}


def test_a_folder_without_one_readable_image_is_refused(folders):
    for path in (folders / "query").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"not one of 3 query images.*'q0.png' \(zero"):
        _search(folders, Colours())


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


def _write(folders, matches, name="found", **options):
    output = folders / name
    apart = (folders / "query", folders / "gallery")
    options = {"overwrite": False} | options
    with searching.result_folder(output, apart_from=apart, **options) as folder:
        searching.write_result(folder, matches, network="a <run>", shape=(8, 4))
    return output


def test_the_json_holds_the_ranking_and_names_to_the_byte(folders):
    matches = _search(folders, Colours(), top=4)
    output = _write(folders, matches)
    record = json.loads((output / "matches.json").read_bytes())
    assert [query["image"] for query in record["queries"]] == list(matches.query.names)
    for i, query in enumerate(record["queries"]):
        assert [found["rank"] for found in query["matches"]] == [1, 2, 3, 4]
        assert [found["image"] for found in query["matches"]] == _rows(matches, i)
        np.testing.assert_allclose(
            [found["distance"] for found in query["matches"]],
            matches.distances[i],
            atol=1e-6,
        )
        for found in query["matches"]:
            assert os.path.exists(folders / "gallery" / found["image"])


def test_the_page_carries_names_as_text_and_links_nowhere(folders):
    _break_some(folders)
    matches = _search(folders, Colours())
    output = _write(folders, matches)
    page = (output / "index.html").read_text("utf-8")
    assert "a &lt;run&gt;" in page
    assert not re.search(r"https?:|//(?! )|@import|url\(", page)
    assert page.count("<script") == 2 == page.count("</script")
    [data] = re.findall(
        r'<script type="application/json" id="data">(.*?)</script', page
    )
    data = json.loads(data)
    shown = {name for name, _ in data["gallery"]}
    assert "sub/line\\nbreak.png" not in shown  # row 2 lies above
    assert {"line\\nbreak.png", "caf\\xe9.png", "{{data}}.png"} <= shown
    assert [name for name, _, _ in data["queries"]] == list(matches.query.names)
    for query in data["queries"]:
        for place, distance, same in query[2]:
            assert 0 <= distance <= 2
            assert same == 0
            assert (output / "thumbnails" / data["gallery"][place][1]).exists()
        assert (output / "thumbnails" / query[1]).exists()
    assert len(data["unreadable"]) == 6


def test_thumbnails_are_upright_small_and_of_the_image(tmp_path):
    def encoded(size, **options):
        image = Image.new("RGB", size, (10, 200, 30))
        image.paste((250, 0, 0), (0, 0, size[0], size[1] // 2))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=95, **options)
        return out.getvalue()

    def thumbnail(data):
        return Image.open(io.BytesIO(result.thumbnail(data)))

    assert thumbnail(encoded((50, 90))).size == (50, 90)  # never enlarged
    assert thumbnail(encoded((1000, 500))).size == (256, 128)
    assert thumbnail(encoded((4000, 3))).size == (256, 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: the top is on the right
    turned = thumbnail(encoded((400, 200), exif=exif))
    assert turned.size == (128, 256)
    red, _, _ = turned.getpixel((100, 128))
    assert red > 200
    damaged = encoded((40, 20), exif=b"Exif\0\0no such thing")
    assert thumbnail(damaged).size == (40, 20)


def test_an_output_that_exists_is_replaced_only_when_asked(folders):
    matches = _search(folders, Colours(), top=2)
    output = _write(folders, matches)
    before = sorted(path.name for path in output.rglob("*"))
    with pytest.raises(InputError, match=r"found' exists.*--overwrite"):
        _write(folders, matches)
    longer = _search(folders, Colours(), top=9)
    _write(folders, longer, overwrite=True)
    assert sorted(path.name for path in output.rglob("*")) != before
    assert len(list(folders.iterdir())) == 3  # nothing is left beside it


def test_a_search_that_fails_leaves_the_old_result(folders):
    output = _write(folders, _search(folders, Colours(), top=2))
    before = (output / "matches.json").read_bytes()
    apart = (folders / "query",)

    def fail():
        claimed = searching.result_folder(output, overwrite=True, apart_from=apart)
        with claimed as folder:
            (folder / "matches.json").write_text("{")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert (output / "matches.json").read_bytes() == before
    assert len(list(folders.iterdir())) == 3


def test_outputs_that_would_cost_somebody_files_are_refused(folders, tmp_path):
    def claim(output, overwrite=True):
        with searching.result_folder(
            output,
            overwrite=overwrite,
            apart_from=(folders / "query", folders / "gallery"),
        ):
            pass

    for output in ("gallery", "gallery/found", ".", "query/sub/found"):
        with pytest.raises(InputError, match="lie in one another"):
            claim(folders / output)
    (folders / "thesis").mkdir()
    (folders / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis' holds more than a search's result"):
        claim(folders / "thesis")
    (folders / "file").write_text("x")
    with pytest.raises(InputError, match=r"file' is not a folder"):
        claim(folders / "file")
    with pytest.raises(InputError, match=r"file' exists"):
        claim(folders / "file", overwrite=False)
    with pytest.raises(InputError, match=r"cannot be written.*name another output"):
        claim(folders / "file" / "below")
    (folders / "empty").mkdir()
    claim(folders / "empty")
    (folders / "link").symlink_to(folders / "empty")
    with pytest.raises(InputError, match="link"):
        claim(folders / "link")


def test_many_queries_are_shown_in_part(folders):
    for row in range(12):
        _paint(folders / "query" / f"more{row:02d}.png", _color(row))
    matches = _search(folders, Colours())
    console = Console(file=io.StringIO(), width=200)
    searching.print_matches(console, matches)
    printed = console.file.getvalue()
    assert printed.count("more") == 10 + 1  # ten names, and "5 more queries"
    assert "and 5 more queries in matches.json" in printed
    assert "[bold]markup[.png" in printed


@pytest.fixture(scope="module")
def command():
    path = ROOT / "experiments" / "search.py"
    spec = importlib.util.spec_from_file_location("search_command", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(command, folders, monkeypatch, capsys):
    """Runs the command with a hand-made network; its exit code, output and errors."""
    monkeypatch.chdir(folders)
    monkeypatch.setattr(fgu_jax, "load", lambda path: Colours())
    (folders / "run").mkdir()

    def run(*arguments):
        given = ["--checkpoint=run", "--query=query", "--gallery=gallery", *arguments]
        with pytest.raises(SystemExit) as left:
            command_line.main(command.search, command.parser(), given)
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_the_command_writes_prints_and_keeps_features(run, folders):
    code, out, _ = run("--output=found", "--top=3")
    assert code == 0
    assert "plain.png" in out
    assert "9 new to the cache" in out
    assert (folders / "run" / "search_cache.sqlite").exists()
    code, out, _ = run("--output=found", "--overwrite")
    assert code == 0
    assert "0 new to the cache" in out
    record = json.loads((folders / "found" / "matches.json").read_bytes())
    assert len(record["queries"][0]["matches"]) == 9
    (folders / "run" / "search_cache.sqlite").unlink()
    assert run("--output=other", "--cache=none")[0] == 0
    assert list((folders / "run").iterdir()) == []
    assert run("--output=third", "--cache=kept")[0] == 0
    assert (folders / "kept").is_file()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--output=run"], ["run", "exists", "--overwrite"]),
        (["--output=run/file/below", "--top=0"], ["top", "0", "1 or more"]),
        (["--output=gallery/found"], ["gallery", "lie in one another"]),
        (["--output=x", "--gallery=nothing"], ["nothing", "does not exist"]),
        (["--output=x", "--top=few"], ["--top", "few"]),
        (["--output=x", "--galery=y"], ["--galery", "--gallery"]),
        ([], ["--output"]),
    ],
)
def test_what_is_typed_wrongly_costs_one_line(run, folders, arguments, parts):
    code, out, err = run(*arguments)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "Traceback" not in out + err
    assert all(part in err for part in parts)
    assert not (folders / "x").exists()


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


def test_thumbnails_are_named_by_content():
    digest = hashlib.sha256(b"x").digest()
    assert thumbnail_name(digest) == digest[:16].hex() + ".jpg"
    assert html.escape(thumbnail_name(digest)) == thumbnail_name(digest)
