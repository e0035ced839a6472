"""Keys of the review page: one press is one answer, wherever the focus is."""

import browser as browsers
from review_page import text

pytestmark = browsers.NEEDED


def hold(browser, **press):
    """A key that is down until it has come four times."""
    browser.emulate("Input.dispatchKeyEvent", type="keyDown", **press)
    for _ in range(3):
        browser.emulate(
            "Input.dispatchKeyEvent", type="keyDown", autoRepeat=True, **press
        )
    del press["text"]
    browser.emulate("Input.dispatchKeyEvent", type="keyUp", **press)


def test_a_held_key_answers_once(opened):
    hold(opened, key="s", code="KeyS", text="s")
    assert "1 answered" in text(opened, "#count")
    opened.keys("d", "k")
    hold(opened, key="u", code="KeyU", text="u")
    assert "2 answered" in text(opened, "#count")


def test_a_button_that_is_held_down_answers_once(opened):
    opened.run("document.querySelector('[data-answer=same]').focus()")
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    hold(opened, text="\r", **enter)
    assert "1 answered" in text(opened, "#count")


def test_a_letter_can_be_held_in_a_field(opened):
    opened.click("#to-clusters")
    opened.click("#filter")
    hold(opened, key="s", code="KeyS", text="s")
    assert opened.run("return document.getElementById('filter').value") == "ssss"


def test_keys_answer_after_a_file_was_opened(opened, tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("image,other,same\n012.jpg,015.jpg,yes\n")
    opened.run("document.getElementById('open').focus()")
    opened.type_into("#open", str(path))
    opened.wait_until("document.getElementById('told').innerText.includes('Opened')")
    assert opened.run("return document.activeElement.id") == "open"
    opened.keys("s", "d")
    assert "2 answered" in text(opened, "#count")
    opened.keys("u")
    assert "1 answered" in text(opened, "#count")


def test_letters_in_a_field_are_no_keys(opened):
    opened.keys("s")
    opened.click("#to-clusters")
    opened.type_into("#filter", "u")
    assert opened.run("return actions.length") == 1
