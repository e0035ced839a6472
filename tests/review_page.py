"""What the tests of the review page do with it."""

import time
from pathlib import Path

import pytest

from fgu_jax import reviewing

HOSTILE = "</script><img src=x onerror=document.title='caught'>\n\udce9,\".jpg"
CLUSTERS, PICTURES = 80, 4


def open_page(browser, review, images, folder):
    """Pages of the same questions share what the browser keeps: it starts empty."""
    reviewing.write_review(folder, review, images)
    browser.open(folder / "index.html")
    browser.run("storage?.clear()")
    browser.emulate(
        "Browser.setDownloadBehavior",
        behavior="allow",
        downloadPath=str(folder),
    )
    for _ in range(20):  # as in ``reload``
        browser.open(folder / "index.html")
        ready(browser)
        if not browser.run("return actions.length"):
            break
        browser.run("storage?.clear()")
    return browser


def ready(browser):
    browser.wait_until("'ready' in document.documentElement.dataset")


def reload(browser):
    """Loads the page anew, with what the browser keeps of it.

    Chromium 156 under load shows some pages an empty storage, until they are loaded
    once more: no page can tell that, so it is loaded again.
    """
    before = browser.run("return window.localStorage.getItem(KEY)")
    for _ in range(20):
        browser.reload()
        ready(browser)
        if browser.run("return written === arguments[0]", before):
            return
        time.sleep(0.25)


def text(browser, selector):
    return browser.run(
        "return document.querySelector(arguments[0]).innerText", selector
    )


def saved(browser, folder: Path):
    path = folder / "answers.csv"
    path.unlink(missing_ok=True)
    browser.click("#save")
    for _ in range(100):
        if path.exists() and path.read_bytes().endswith(b"\n"):
            return path
        time.sleep(0.05)
    pytest.fail("answers.csv was not saved")
