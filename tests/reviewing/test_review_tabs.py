"""Two tabs of one review page: what is answered in one counts in the other."""

import json

import browser as browsers
import pytest
from review_page import CLUSTERS, keep, ready, reload, saved, settled, text

from fgu_jax.runs.answers import read_answers

pytestmark = browsers.NEEDED

TOLD = "Answered in another tab: {} in all"


@pytest.fixture
def tabs(opened, tmp_path):
    """A function that goes to the other tab; the first is driven now."""
    first = opened.tab()
    opened.new_tab()
    opened.open(tmp_path / "index.html")
    ready(opened)
    second = opened.tab()
    opened.to_tab(first)

    def other():
        opened.to_tab(second if opened.tab() == first else first)

    yield other
    opened.to_tab(second)
    opened.close_tab()
    opened.to_tab(first)


def answered(browser, *actions):
    """Keeps answers as another tab does whose event has not come yet."""
    settled(browser)
    keep(browser, json.dumps(actions))


def an_answer(question, a, b, same):
    return {"kind": "answer", "question": question, "a": a, "b": b, "same": same}


def a_split(row, rest):
    return {"kind": "split", "out": [row], "rest": rest, "together": True}


def wait_for(browser, told):
    said = f"document.getElementById('told').innerText === {json.dumps(told)}"
    browser.wait_until(said)


def test_an_answer_shows_in_the_other_tab_and_none_is_lost(
    tabs, browser, images, tmp_path
):
    browser.keys("s")
    tabs()
    wait_for(browser, TOLD.format("1 step"))
    assert "1 answered, 7 left" in text(browser, "#count")
    browser.keys("d")
    tabs()
    wait_for(browser, TOLD.format("2 steps"))
    browser.keys("k", "d")
    tabs()
    wait_for(browser, TOLD.format("4 steps"))
    found = read_answers(saved(browser, tmp_path), images.names)
    assert found.same.tolist() == [[0, 4]]
    assert found.apart.tolist() == [[4, 8], [16, 20]]
    browser.keys("u", "u", "u")
    tabs()
    wait_for(browser, TOLD.format("1 step"))
    reload(browser)
    assert "1 answered" in text(browser, "#count")


def test_the_open_cluster_stays_open(tabs, browser):
    browser.click("#to-clusters")
    browser.click('[data-cluster="9"]')
    browser.click('[data-open="4"]')
    browser.click('[data-row="17"]')
    browser.click("#split")
    browser.run("document.querySelectorAll('#cards .open')[0].click()")
    assert text(browser, "#look-title") == "split off: 1 image"
    browser.type_into("#name", "Ada")
    tabs()
    wait_for(browser, TOLD.format("1 step"))
    # Its number there is another one's: another split was before it.
    answered(browser, a_split(21, [20, 22, 23]), a_split(17, [16, 18, 19]))
    browser.run("tabs.postMessage('')")
    tabs()
    wait_for(browser, TOLD.format("2 steps"))
    members = "[...document.querySelectorAll('#members .match')]"
    assert browser.run(f"return {members}.map((e) => e.dataset.row)") == ["17"]
    assert browser.run("return document.getElementById('name').value") == "Ada"
    assert browser.run("return [...ticked]") == [9]


def test_what_another_tab_kept_is_taken_over_before_an_answer(opened, images, tmp_path):
    answered(opened, an_answer(0, 0, 4, False))
    opened.click('[data-answer="same"]')
    settled(opened)
    told = "Not taken: 000.jpg and 004.jpg were told apart. Undo that first."
    assert text(opened, "#told") == told
    opened.keys("s")
    found = read_answers(saved(opened, tmp_path), images.names)
    assert found.same.tolist() == [[4, 8]]
    assert found.apart.tolist() == [[0, 4]]
    reload(opened)
    assert "2 answered" in text(opened, "#count")


def test_undo_takes_back_what_was_done_last_here(opened):
    opened.keys("s")
    both = an_answer(0, 0, 4, True), an_answer(3, 12, 15, True)
    answered(opened, *both)
    opened.keys("u")
    settled(opened)
    assert text(opened, "#told") == TOLD.format("1 step")
    assert opened.run("return actions.map((action) => action.question)") == [3]
    reload(opened)
    assert opened.run("return actions.map((action) => action.question)") == [3]


def test_one_answer_in_two_tabs_counts_once(opened):
    answered(opened, an_answer(0, 0, 4, True), an_answer(3, 12, 15, True))
    opened.keys("s")
    settled(opened)
    assert opened.run("return actions.map((action) => action.question)") == [0, 3]


def test_an_open_cluster_is_as_it_was_just_changed(opened):
    """What another tab kept is taken over together with a split and a name of here."""
    opened.click("#to-clusters")
    opened.click('[data-open="4"]')
    opened.click('[data-row="17"]')
    answered(opened, an_answer(3, 12, 15, True))
    opened.click("#split")
    opened.run("document.querySelectorAll('#cards .open')[0].click()")
    settled(opened)
    assert text(opened, "#look-title") == "split off: 1 image"
    answered(opened, an_answer(3, 12, 15, True), a_split(17, [16, 18, 19]))
    opened.type_into("#name", "Ada")
    opened.keys(browsers.ENTER)
    settled(opened)
    assert text(opened, "#look-title") == "Ada, split off: 1 image"
    assert opened.run("return document.getElementById('name').value") == "Ada"


def test_what_is_ticked_and_gone_is_ticked_no_more(opened):
    opened.click("#to-clusters")
    opened.click('[data-open="4"]')
    opened.click('[data-row="17"]')
    opened.click("#split")
    opened.click(f'[data-cluster="{CLUSTERS}"]')
    opened.click("#to-questions")
    opened.keys("u")
    answered(opened, an_answer(3, 12, 15, True))
    opened.keys("s")
    settled(opened)
    assert "2 answered" in text(opened, "#count")
    opened.click("#to-clusters")
    assert opened.run("return [...ticked]") == []


@pytest.mark.parametrize("kept", ["[{", "3", "null", None])
def test_what_no_page_wrote_takes_nothing_away(opened, kept):
    opened.keys("s")
    settled(opened)
    keep(opened, kept)
    opened.keys("d")
    assert "2 answered" in text(opened, "#count")
    reload(opened)
    assert "2 answered" in text(opened, "#count")


def test_who_leaves_before_an_answer_is_kept_is_asked_to_stay(opened):
    leaves = """const leaving = new Event("beforeunload", { cancelable: true });
        return window.dispatchEvent(leaving);"""
    assert opened.run("answer('same');" + leaves) is False
    settled(opened)
    assert opened.run(leaves) is True


def test_what_is_done_while_another_tab_keeps_comes_after_it(opened):
    other = json.dumps([an_answer(3, 12, 15, False)])
    opened.run(
        """const transaction = base.transaction(STORE, "readwrite");
        transaction.objectStore(STORE).put(arguments[0], KEY);
        for (const word of ["same", "different", "skip"]) answer(word);
        undo();""",
        other,
    )
    settled(opened)
    asked = "return actions.map((action) => action.question)"
    assert opened.run(asked) == [3, 0, 1]
    reload(opened)
    assert opened.run(asked) == [3, 0, 1]


FAILS = """const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = function () { this.transaction.abort(); };
    window.mended = () => { IDBObjectStore.prototype.put = put; };"""


def test_what_could_not_be_kept_is_not_lost_and_tried_again(opened):
    opened.keys("k")
    settled(opened)
    opened.run(FAILS)
    opened.keys("s", "d")
    settled(opened)
    assert "3 answered" in text(opened, "#count")
    assert "keeps nothing of this page: save answers.csv" in text(opened, "#notice")
    opened.run("mended()")
    opened.keys("u", "u", "s")
    reload(opened)
    assert opened.run("return actions.map((action) => action.same)") == [None, True]


def test_a_database_that_the_browser_closed_is_opened_again(opened):
    opened.keys("s")
    settled(opened)
    opened.run("base.close()")
    opened.keys("d")
    settled(opened)
    assert not text(opened, "#notice")
    reload(opened)
    assert "2 answered" in text(opened, "#count")
