"""The page of a search in a real browser: opened, clicked, filtered and read."""

import hashlib
import io
from pathlib import Path

import browser as browsers
import numpy as np
import pytest
from browser import DOWN, ENTER, ESCAPE, LEFT, RIGHT, UP
from PIL import Image

from fgu_jax import searching
from fgu_jax.data.reading import Reading
from fgu_jax.searching.features import Embedded
from fgu_jax.searching.match import Matches

pytestmark = browsers.NEEDED

QUERIES, TOP, GALLERY = 1000, 20, 3000
HOSTILE = "<img src=x onerror=document.title='caught'>\n\udce9.jpg"


@pytest.fixture(scope="module")
def browser():
    opened = browsers.Browser()
    yield opened
    opened.close()


def _side(root, count, prefix):
    """Images of twelve colours; their names, behind the pictures, tell them apart."""
    names = [f"{prefix}{row:04d}.jpg" for row in range(count)]
    root.mkdir()
    contents, colours = [], []
    for row in range(12):
        out = io.BytesIO()
        color = (20 * row, 128, 255 - 20 * row)
        Image.new("RGB", (32, 64), color).save(out, "JPEG")
        colours.append(out.getvalue())
    for row, name in enumerate(names):
        contents.append(colours[row % 12] + name.encode())
        (root / name).write_bytes(contents[-1])
    return Embedded(
        root=root,
        names=tuple(names),
        digests=tuple(hashlib.sha256(content).digest() for content in contents),
        features=np.zeros((count, 1), np.float32),
        unreadable={HOSTILE: "zero bytes"} if prefix == "g" else {},
        num_cached=0,
        reading=Reading(where=str(root), taken=count),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    query = _side(folder / "query", QUERIES, "q")
    gallery = _side(folder / "gallery", GALLERY, "g")
    rows = np.arange(QUERIES)[:, None] * 7 + np.arange(TOP)[None, :]
    matches = Matches(
        query=query,
        gallery=gallery,
        indices=rows % GALLERY,
        distances=np.broadcast_to(np.linspace(0, 1, TOP, dtype="f"), (QUERIES, TOP)),
    )
    (folder / "query" / "q0001.jpg").rename(folder / "query" / HOSTILE)
    names = (query.names[0], HOSTILE, *query.names[2:])
    (folder / "gallery" / "g2999.jpg").unlink()
    object.__setattr__(query, "names", names)
    output = folder / "found"
    with searching.result_folder(output, overwrite=False, apart_from=()) as made:
        searching.write_result(made, matches, network="net", shape=(2, 1))
    return output / "index.html"


@pytest.fixture
def opened(browser, page):
    browser.open(page)
    browser.wait_until("document.querySelector('.match')")
    return browser


def test_it_opens_with_what_is_near_and_no_more(opened):
    found = opened.run("""
        return {
          sections: document.querySelectorAll(".query").length,
          matches: document.querySelectorAll(".match").length,
          status: document.getElementById("status").textContent,
          title: document.title,
          wide: document.documentElement.scrollWidth,
        }""")
    assert found["sections"] == QUERIES
    assert TOP <= found["matches"] <= 20 * TOP
    assert found["status"] == "1,000 queries"
    assert found["title"] == "Search: 1,000 queries"
    assert found["wide"] <= 1280
    opened.wait_until("document.querySelector('.match img').naturalWidth === 32")


def test_scrolling_brings_the_rest(opened):
    script = (
        'document.querySelectorAll(".query")[700].querySelectorAll(".match").length'
    )
    assert opened.run(f"return {script}") == 0
    opened.run('document.querySelectorAll(".query")[700].scrollIntoView()')
    opened.wait_until(f"{script} === {TOP}")
    first = 'document.querySelectorAll(".query")[700].querySelector(".match .name")'
    assert opened.run(f"return {first}.textContent") == f"g{700 * 7 % GALLERY:04d}.jpg"


def test_the_filter_shows_what_was_asked_for(opened):
    opened.keys("/")
    opened.keys(*"Q012")
    shown = """[...document.querySelectorAll(".query")].filter((s) => !s.hidden)
        .map((s) => s.querySelector("h2").textContent)"""
    assert opened.run(f"return {shown}") == [f"q012{k}.jpg" for k in range(10)]
    status = 'return document.getElementById("status").textContent'
    assert opened.run(status) == "10 of 1,000 queries"
    opened.keys(DOWN)
    opened.keys(DOWN, RIGHT)
    label = opened.run('return document.activeElement.getAttribute("aria-label")')
    assert label == f"Match 2: g{121 * 7 + 1:04d}.jpg, distance 0.053"
    opened.keys("/")
    opened.keys(*"no such name")
    assert opened.run(status) == "0 of 1,000 queries"


def test_a_click_looks_closer_and_the_arrows_move_on(opened):
    opened.click('.query[data-query="2"] [data-match="3"]')
    shown = 'return [...look.querySelectorAll("figcaption")].map((c) => c.textContent)'
    assert opened.run("return look.open")
    assert opened.run(shown) == [
        "query\nq0002.jpg",
        "match 4, distance 0.158\ng0017.jpg",
    ]
    opened.keys(RIGHT)
    assert opened.run(shown)[1] == "match 5, distance 0.211\ng0018.jpg"
    opened.keys(UP, LEFT)
    assert opened.run(shown)[1] == "match 4, distance 0.158\ng0010.jpg"
    opened.click('#look [data-step="1"]')
    assert opened.run(shown)[1].startswith("match 5")
    opened.wait_until('look.querySelector("img").naturalWidth > 0')
    opened.keys(ESCAPE)
    assert not opened.run("return look.open")
    assert opened.run("return document.activeElement.dataset.match") == "4"
    opened.keys(ENTER)
    assert opened.run("return look.open")
    opened.click("#look .close")
    assert not opened.run("return look.open")


def test_one_match_is_in_the_order_of_the_tab_key(opened):
    script = "return [...document.querySelectorAll('.match')].map((m) => m.tabIndex)"
    assert sorted(opened.run(script))[-2:] == [-1, 0]
    opened.run("document.querySelector('.match').focus()")
    opened.keys(RIGHT, RIGHT, DOWN, DOWN)
    assert sorted(opened.run(script))[-2:] == [-1, 0]
    assert opened.run("return document.activeElement.title") == "g0016.jpg"


def test_names_run_nothing(opened):
    heading = opened.run('return document.querySelectorAll("h2")[1].textContent')
    assert heading == "<img src=x onerror=document.title='caught'>\\n\\xe9.jpg"
    text = opened.run('return document.querySelector("#unreadable").textContent')
    assert "1 images" not in text
    assert heading in text
    assert opened.run("return document.title") == "Search: 1,000 queries"


def test_a_picture_that_vanished_is_told(opened):
    text = opened.run('return document.querySelector("#grey").textContent')
    assert "1 image could not be read any more and is grey" in text
    assert "gallery: g2999.jpg: No such file or directory" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(opened, scheme):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    opened.emulate("Emulation.setDeviceMetricsOverride", **size)
    preferred = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.emulate("Emulation.setEmulatedMedia", features=preferred)
    try:
        assert opened.run("return document.documentElement.scrollWidth") <= 360
        ground = opened.run("return getComputedStyle(document.body).backgroundColor")
        dark = "rgb(21, 25, 29)"
        assert ground == (dark if scheme == "dark" else "rgb(255, 255, 255)")
        smallest = opened.run(
            "return Math.min(...[...document.querySelectorAll('.match')]"
            ".map((m) => m.getBoundingClientRect().width))"
        )
        assert smallest >= 64  # a finger's width
    finally:
        opened.emulate("Emulation.clearDeviceMetricsOverride")
        opened.emulate("Emulation.setEmulatedMedia", features=[])


def test_beyond_the_distance_nothing_is_a_match(browser, tmp_path):
    query, gallery = _side(tmp_path / "q", 3, "q"), _side(tmp_path / "g", 4, "g")
    matches = Matches(
        query=query,
        gallery=gallery,
        indices=np.array([[0, 1], [2, 3], [1, 0]]),
        distances=np.array([[0.2, 0.9], [0.8, 0.9], [0.1, 0.5]], np.float32),
        max_distance=0.5,
    )
    output = tmp_path / "found"
    with searching.result_folder(output, overwrite=False, apart_from=()) as made:
        searching.write_result(made, matches, network="net", shape=(2, 1))
    browser.open(output / "index.html")
    browser.wait_until("document.querySelectorAll('.match').length === 3")
    found = browser.run("""
        return [...document.querySelectorAll(".query")].map((s) => [
          s.querySelectorAll(".match").length,
          s.querySelector(".none")?.textContent ?? null,
        ])""")
    assert found == [[1, None], [0, "no match"], [2, None]]
    text = browser.run("return document.body.textContent")
    assert "Beyond 0.5 nothing is a match." in text
