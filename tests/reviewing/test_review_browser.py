"""The page of a review in a real browser: answered, undone, merged, split, saved."""

import csv
import dataclasses
import json

import browser as browsers
import numpy as np
import pytest
from browser import ENTER, ESCAPE
from review_page import CLUSTERS, PICTURES, keep, open_page, reload, saved, text

from fgu_jax.runs.answers import Answers, read_answers

pytestmark = browsers.NEEDED


def test_it_asks_by_key_and_by_button_and_takes_back(opened, images, tmp_path):
    assert "0 answered, 8 left" in text(opened, "#count")
    assert text(opened, "figcaption") == f"{images.names[0]}\ncamera 7"
    assert "If so, clusters of 2 images and 2 become one" in text(opened, "#why")
    opened.keys("s")
    opened.click('[data-answer="same"]')
    # The third follows from the first two.
    assert "2 answered, 1 known from other answers, 5 left" in text(opened, "#count")
    assert "If not, a cluster of 4 images falls into 2 and 2" in text(opened, "#why")
    opened.keys("d", "k", "d", "d")
    assert "6 answered" in text(opened, "#count")
    opened.keys("u")
    opened.click("#undo")
    assert "4 answered, 1 known from other answers, 3 left" in text(opened, "#count")
    found = read_answers(saved(opened, tmp_path), images.names)
    assert found.same.tolist() == [[0, 4], [4, 8]]
    assert found.apart.tolist() == [[12, 15]]
    assert "Saved: 3 pairs, 0 names" in text(opened, "#told")


def test_it_ends_and_goes_on_after_a_reload(opened):
    opened.keys("s", "d", "k", "k")
    reload(opened)
    # The third is answered, too: 0 is 4, and 4 is not 8.
    assert "4 answered, 1 known from other answers, 3 left" in text(opened, "#count")
    assert "4 steps kept in this browser" in text(opened, "#told")
    opened.keys("k", "k", "k")
    assert "No question is left" in text(opened, "#done")
    opened.keys("s")
    opened.keys("u")
    assert "6 answered" in text(opened, "#count")


def test_clusters_are_merged_split_and_named(opened, images, tmp_path):
    opened.click("#to-clusters")
    opened.click('[data-cluster="1"]')
    opened.click('[data-cluster="2"]')
    opened.click("#merge")
    assert "Merged 2 clusters" in text(opened, "#told")
    assert "cluster 1: 8 images" in text(opened, "#cards .card")
    opened.click('[data-open="3"]')
    assert opened.run("return document.activeElement.id") == "close"
    for row in (13, 14):
        opened.click(f'[data-row="{row}"]')
    opened.click("#split")
    assert "Split 2 images off" in text(opened, "#told")
    assert any("split off: 2 images" in card for card in _cards(opened, "split"))
    opened.click('[data-open="4"]')
    for row in (17, 18):
        opened.click(f'[data-row="{row}"]')
    opened.click("#apart")
    opened.click('[data-open="5"]')
    opened.type_into("#name", "Ada, the first")
    opened.keys(ENTER)
    assert text(opened, "#look-title") == "Ada, the first, cluster 5: 4 images"
    opened.click("#near [data-join]")
    assert text(opened, "#look-title") == "Ada, the first, cluster 5: 8 images"
    opened.keys(ESCAPE)
    found = read_answers(saved(opened, tmp_path), images.names)
    assert found.same.tolist() == [[4, 8], [13, 14], [20, 24]]
    assert sorted(map(tuple, found.apart.tolist())) == sorted(
        [(13, 12), (13, 15), *((a, b) for a in (17, 18) for b in (16, 19))]
    )
    assert found.names == {20: "Ada, the first"}
    opened.keys("u", "u")
    opened.click('[data-open="5"]')
    assert text(opened, "#look-title") == "cluster 5: 4 images"


def _cards(browser, wanted):
    script = """return [...document.querySelectorAll("#cards .card")]
        .map((card) => card.innerText).filter((said) => said.includes(arguments[0]))"""
    return browser.run(script, wanted)


def test_what_contradicts_is_not_taken(opened):
    opened.keys("d")
    opened.click("#to-clusters")
    opened.click('[data-cluster="0"]')
    opened.click('[data-cluster="1"]')
    opened.click("#merge")
    told = text(opened, "#told")
    assert "Not taken: 000.jpg and 004.jpg were told apart. Undo that first." in told
    for cluster, name in (("10", "Ada"), ("11", "Bob")):
        opened.run(f"document.querySelector('[data-open=\"{cluster}\"]').click()")
        opened.type_into("#name", name)
        opened.keys(ENTER, ESCAPE)
    for cluster in ("0", "1", "10", "11"):
        opened.run(f"document.querySelector('[data-cluster=\"{cluster}\"]').click()")
    opened.click("#merge")
    assert "one individual would be named Ada and Bob" in text(opened, "#told")
    # Two names are two individuals: 40 and 44 are not asked about any more.
    opened.click("#to-questions")
    assert "1 answered, 1 known" in text(opened, "#count")


def test_a_saved_file_is_opened_again(opened, images, tmp_path):
    opened.keys("s", "d")
    path = saved(opened, tmp_path)
    before = path.read_bytes()
    opened.keys("u", "u")
    opened.type_into("#open", str(path))
    opened.wait_until("document.getElementById('told').innerText.includes('Opened')")
    assert "Opened: 2 pairs, 0 names" in text(opened, "#told")
    assert "0 answered, 3 known" in text(opened, "#count")
    assert saved(opened, tmp_path).read_bytes() == before
    bad = tmp_path / "bad.csv"
    for lines, said in (
        ("image,other,same\n000.jpg,gone.jpg,yes\n", "line 2: no image gone.jpg"),
        ("image,other,same\n000.jpg,001.jpg\n", "line 2: the answer is missing"),
        ("a,b\n1,2\n", "its first line is not image,other,same"),
        ("image,other,same\n000.jpg,004.jpg,no\n", "Not taken: 000.jpg and 004.jpg"),
    ):
        bad.write_text(lines)
        opened.type_into("#open", str(bad))
        opened.wait_until(
            f"document.getElementById('told').innerText.includes({json.dumps(said)})"
        )


def test_names_run_nothing_and_come_back_byte_for_byte(opened, images, tmp_path):
    row = next(r for r, name in enumerate(images.names) if "onerror" in name)
    cluster = row // PICTURES
    opened.click("#to-clusters")
    opened.type_into("#filter", "ONERROR")
    opened.click(f'[data-open="{cluster}"]')
    opened.click(f'[data-row="{row}"]')
    opened.click("#split")
    assert (
        opened.run("return document.title")
        == f"Review: 80 clusters of {len(images)} images"
    )
    found = read_answers(saved(opened, tmp_path), images.names)
    assert {pair[0] for pair in found.apart.tolist()} == {row}
    opened.keys("u")
    opened.type_into("#open", str(tmp_path / "answers.csv"))
    opened.wait_until("document.getElementById('told').innerText.includes('Opened')")


def test_earlier_answers_are_saved_with_the_new_ones(browser, review, images, tmp_path):
    given = Answers(np.array([[0, 4]]), np.array([[12, 15]]), {60: "Eve"})
    page = dataclasses.replace(review, answers=given)
    opened = open_page(browser, page, images, tmp_path)
    assert "0 answered, 2 known from other answers" in text(opened, "#count")
    opened.keys("d")
    found = read_answers(saved(opened, tmp_path), images.names)
    assert found.same.tolist() == [[0, 4]]
    assert found.apart.tolist() == [[12, 15], [4, 8]]
    assert found.names == {60: "Eve"}


REFUSED = """Object.defineProperty(window, "indexedDB", {
    get() { throw new DOMException("no", "SecurityError"); } });
    window.BroadcastChannel = class { constructor() { indexedDB; } };"""
SILENT = """Object.defineProperty(window, "indexedDB", {
    get() { return { open: () => ({}) }; } });"""
HANGS = """IDBDatabase.prototype.transaction = () => ({
    objectStore: () => ({ get: () => ({}) }), abort() {} });"""


@pytest.mark.parametrize("how", [REFUSED, SILENT, HANGS], ids=["no", "open", "get"])
def test_without_storage_it_works_and_says_so(browser, review, images, tmp_path, how):
    made = browser.emulate("Page.addScriptToEvaluateOnNewDocument", source=how)
    try:
        opened = open_page(browser, review, images, tmp_path)
        assert "keeps nothing of this page: save answers.csv" in text(opened, "#notice")
        opened.keys("s")
        assert len(read_answers(saved(opened, tmp_path), images.names)) == 1
    finally:
        browser.emulate(
            "Page.removeScriptToEvaluateOnNewDocument", identifier=made["identifier"]
        )


def test_what_another_page_kept_does_no_harm(opened):
    keep(opened, '[{"kind":')
    reload(opened)
    assert "0 answered, 8 left" in text(opened, "#count")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(opened, scheme):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    opened.emulate("Emulation.setDeviceMetricsOverride", **size)
    preferred = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.emulate("Emulation.setEmulatedMedia", features=preferred)
    wide = "return document.documentElement.scrollWidth"
    try:
        assert opened.run(wide) <= 360
        # The answers are in reach without scrolling.
        box = """const box = document.querySelector('[data-answer="skip"]')
            .getBoundingClientRect(); return [box.bottom, box.height]"""
        bottom, height = opened.run(box)
        assert bottom <= 740
        assert height >= 44
        opened.click("#to-clusters")
        assert opened.run(wide) <= 360
        opened.click('[data-open="3"]')
        assert opened.run(wide) <= 360
        opened.click("#close")
    finally:
        opened.emulate("Emulation.clearDeviceMetricsOverride")
        opened.emulate("Emulation.setEmulatedMedia", features=[])


def test_no_more_is_drawn_than_is_near(opened):
    opened.click("#to-clusters")
    cards = 'document.querySelectorAll("#cards .card").length'
    assert 0 < opened.run(f"return {cards}") <= CLUSTERS
    opened.run("scrollTo(0, document.body.scrollHeight)")
    opened.wait_until(f"{cards} === {CLUSTERS}")


def test_the_table_is_one_that_spreadsheets_read(opened, images, tmp_path):
    opened.keys("s", "d")
    with saved(opened, tmp_path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "image": images.names[0],
        "other": images.names[4],
        "same": "yes",
        "name": "",
    }
