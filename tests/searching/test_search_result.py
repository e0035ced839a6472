"""Search: the folder that is written, its page, its thumbnails."""

import csv
import hashlib
import html
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from search_folders import Colours, break_some, color_of, names_found, paint, search_in

from fgu_jax import searching
from fgu_jax.errors import InputError
from fgu_jax.searching import result
from fgu_jax.searching.page import thumbnail_name


def write_found(folders, matches, name="found", **options):
    output = folders / name
    apart = (folders / "query", folders / "gallery")
    options = {"overwrite": False} | options
    with searching.result_folder(output, apart_from=apart, **options) as folder:
        searching.write_result(folder, matches, network="a <run>", shape=(8, 4))
    return output


def test_the_json_holds_the_ranking_and_names_to_the_byte(folders):
    matches = search_in(folders, Colours(), top=4)
    output = write_found(folders, matches)
    record = json.loads((output / "matches.json").read_bytes())
    assert [query["image"] for query in record["queries"]] == list(matches.query.names)
    for i, query in enumerate(record["queries"]):
        assert [found["rank"] for found in query["matches"]] == [1, 2, 3, 4]
        assert [found["image"] for found in query["matches"]] == names_found(matches, i)
        np.testing.assert_allclose(
            [found["distance"] for found in query["matches"]],
            matches.distances[i],
            atol=1e-6,
        )
        for found in query["matches"]:
            assert os.path.exists(folders / "gallery" / found["image"])


def test_the_page_carries_names_as_text_and_links_nowhere(folders):
    break_some(folders)
    matches = search_in(folders, Colours())
    output = write_found(folders, matches)
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
    assert len(data["unreadable"]) == 4


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
    matches = search_in(folders, Colours(), top=2)
    output = write_found(folders, matches)
    before = sorted(path.name for path in output.rglob("*"))
    with pytest.raises(InputError, match=r"found' exists.*--overwrite"):
        write_found(folders, matches)
    longer = search_in(folders, Colours(), top=9)
    write_found(folders, longer, overwrite=True)
    assert sorted(path.name for path in output.rglob("*")) != before
    assert len(list(folders.iterdir())) == 3  # nothing is left beside it


def test_a_search_that_fails_leaves_the_old_result(folders):
    output = write_found(folders, search_in(folders, Colours(), top=2))
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
    with pytest.raises(InputError, match="ends in .html, and a folder is written"):
        claim(folders / "found.html")
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
        paint(folders / "query" / f"more{row:02d}.png", color_of(row))
    matches = search_in(folders, Colours())
    console = Console(file=io.StringIO(), width=200)
    searching.print_matches(console, matches)
    printed = console.file.getvalue()
    assert printed.count("more") == 10 + 1  # ten names, and "5 more queries"
    assert "and 5 more queries in matches.json" in printed
    assert "[bold]markup[.png" in printed


def test_thumbnails_are_named_by_content():
    digest = hashlib.sha256(b"x").digest()
    assert thumbnail_name(digest) == digest[:16].hex() + ".jpg"
    assert html.escape(thumbnail_name(digest)) == thumbnail_name(digest)


def test_beyond_a_distance_nothing_is_a_match(folders):
    every = search_in(folders, Colours(), top=5)
    reach = float(np.median(every.distances))
    matches = search_in(folders, Colours(), top=5, max_distance=reach)
    output = write_found(folders, matches)
    record = json.loads((output / "matches.json").read_bytes())
    assert record["max_distance"] == reach
    counts = [len(query["matches"]) for query in record["queries"]]
    assert counts == (every.distances <= reach).sum(axis=1).tolist()
    assert 0 < sum(counts) < every.distances.size
    page = (output / "index.html").read_text("utf-8")
    assert f"Beyond {reach:g} nothing is a match." in page
    shown = {row for i in range(len(counts)) for row, _ in matches.of(i)}
    kept = {thumbnail_name(matches.gallery.digests[row]) for row in shown}
    kept |= {thumbnail_name(digest) for digest in matches.query.digests}
    assert {path.name for path in (output / "thumbnails").iterdir()} == kept


def test_a_query_without_a_match_is_told(folders):
    matches = search_in(folders, Colours(), top=5, max_distance=0.0)
    without = [i for i, _ in enumerate(matches.query.names) if not matches.of(i)]
    assert matches.num_without == len(without) > 0
    console = Console(width=200, record=True, file=io.StringIO())
    result.print_matches(console, matches)
    assert console.export_text().count("no match") == len(without)


def test_its_own_file_alone_is_no_match_of_a_query(folders):
    shutil.copy(next((folders / "query").iterdir()), folders / "gallery" / "copy.png")
    matches = search_in(folders, Colours(), top=5, max_distance=0.0)
    own = [i for i, _ in enumerate(matches.query.names) if matches.of(i)]
    assert all(matches.same_file(i, matches.of(i)[0][0]) for i in own)
    assert len(own) > 0
    assert matches.num_without == len(matches.query.names)


def test_the_table_has_a_row_a_match_and_names_to_the_byte(folders):
    matches = search_in(folders, Colours(), top=3, max_distance=0.2)
    output = write_found(folders, matches)
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with (output / "matches.csv").open(**options) as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == result.COLUMNS
    wanted = []
    for i, name in enumerate(matches.query.names):
        wanted += [[name, "", "", "", ""]] if not matches.of(i) else []
        for place, (row, distance) in enumerate(matches.of(i), 1):
            same = "yes" if matches.same_file(i, row) else "no"
            image = matches.gallery.names[row]
            wanted.append([name, str(place), image, f"{distance:.6f}", same])
    assert rows == wanted


@pytest.mark.parametrize("distance", [-0.1, 2.5, float("nan")])
def test_a_distance_that_no_features_have_is_refused(folders, distance):
    with pytest.raises(InputError, match="max_distance is .*: give 0 to 2"):
        search_in(folders, Colours(), max_distance=distance)
