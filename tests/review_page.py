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
    ready(browser)
    browser.run("return base && " + _KEPT.format("clear()"))
    browser.emulate(
        "Browser.setDownloadBehavior",
        behavior="allow",
        downloadPath=str(folder),
    )
    browser.open(folder / "index.html")
    ready(browser)
    return browser


_KEPT = """new Promise((ended) => {{
  const transaction = base.transaction(STORE, "readwrite");
  transaction.objectStore(STORE).{};
  transaction.oncomplete = () => ended();
}})"""


def keep(browser, text):
    """Keeps a text as another tab does; its event does not come."""
    browser.run("return " + _KEPT.format("put(arguments[0], KEY)"), text)


def settled(browser):
    """Waits until what was done is kept, and what other tabs kept is taken over."""
    browser.wait_until("!busy")


def ready(browser):
    browser.wait_until("'ready' in document.documentElement.dataset")


def reload(browser):
    """Loads the page anew, with what the browser keeps of it."""
    settled(browser)  # who leaves before is asked to stay
    browser.reload()
    ready(browser)


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
