"""Names on the review page: one individual has one, however many images carry it."""

import dataclasses

import browser as browsers
import numpy as np
import pytest
from browser import ENTER, ESCAPE
from review_page import keep, open_page, reload, saved, text

from fgu_jax.runs.answers import NONE, Answers, read_answers

pytestmark = browsers.NEEDED


@pytest.fixture
def named(browser, review, images, tmp_path):
    """Opens cluster 1 of a page with names of an earlier round; then names it anew."""

    def rename(names, name, same=()):
        pairs = np.array(same, np.int64).reshape(-1, 2)
        given = Answers(pairs, NONE.apart, names)
        page = dataclasses.replace(review, answers=given)
        opened = open_page(browser, page, images, tmp_path)
        opened.click("#to-clusters")
        opened.click('[data-open="1"]')
        before = text(opened, "#look-title")
        opened.run("document.getElementById('name').value = arguments[0]", name)
        opened.click("#naming button")
        after = text(opened, "#look-title")
        opened.keys(ESCAPE)
        found = read_answers(saved(opened, tmp_path), images.names)
        return before, after, found

    return rename


@pytest.mark.parametrize("same", [(), [(4, 7)]])
def test_a_new_name_is_that_of_all_who_had_one(named, same):
    before, after, found = named({4: "Bob", 7: "Bob", 60: "Eve"}, "Robert", same)
    assert before == "Bob, cluster 1: 4 images"
    assert after == "Robert, cluster 1: 4 images"
    assert found.names == {4: "Robert", 7: "Robert", 60: "Eve"}
    assert sorted(found.cannot_link.tolist()) == [[7, 60]]


def test_a_name_is_taken_away_from_all_and_comes_back_by_one_undo(
    named, browser, images, tmp_path
):
    _, after, found = named({5: "Bob", 7: "Bob"}, "")
    assert after == "cluster 1: 4 images"
    assert found.names == {}
    browser.keys("u")
    found = read_answers(saved(browser, tmp_path), images.names)
    assert found.names == {5: "Bob", 7: "Bob"}


def test_two_names_of_one_cluster_are_both_shown_until_one_is_given(named):
    before, after, found = named({5: "Bob", 7: "Rob", 60: "Eve"}, "Bob")
    assert before == "Bob and Rob, cluster 1: 4 images"
    assert after == "Bob, cluster 1: 4 images"
    assert found.names == {5: "Bob", 7: "Bob", 60: "Eve"}


def test_a_name_that_an_older_page_kept_still_counts(opened, images, tmp_path):
    kept = '[{"kind":"name","row":6,"name":"Bob"}]'
    keep(opened, kept)
    reload(opened)
    opened.wait_until("document.getElementById('told').innerText.includes('1 step')")
    found = read_answers(saved(opened, tmp_path), images.names)
    assert found.names == {6: "Bob"}


def test_a_name_is_given_to_the_most_typical_image(opened, images, tmp_path):
    opened.click("#to-clusters")
    opened.click('[data-open="1"]')
    opened.type_into("#name", "Bob")
    opened.keys(ENTER, ESCAPE)
    found = read_answers(saved(opened, tmp_path), images.names)
    assert found.names == {4: "Bob"}


def test_a_name_that_another_cluster_keeps_is_told(opened):
    opened.click("#to-clusters")
    for cluster in (1, 9):
        opened.click(f'[data-open="{cluster}"]')
        opened.type_into("#name", "Bob")
        opened.keys(ENTER)
        assert text(opened, "#told") == "Named Bob"
        opened.keys(ESCAPE)
    opened.click('[data-open="9"]')
    opened.type_into("#name", "by")
    opened.keys(ENTER)
    assert text(opened, "#look-title") == "Bobby, cluster 9: 4 images"
    told = "Named Bobby; another cluster is still named Bob"
    assert text(opened, "#told") == told
