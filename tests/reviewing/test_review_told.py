"""What the review page tells while a cluster is open."""

import browser as browsers
import pytest
from browser import ENTER, ESCAPE
from review_page import text

pytestmark = browsers.NEEDED

# What a person sees where the line stands, and whether it is that line.
SEEN = """const line = document.getElementById("told-here");
    const { left, top, width, height } = line.getBoundingClientRect();
    const there = document.elementFromPoint(left + width / 2, top + height / 2);
    return there === line && getComputedStyle(line).visibility === "visible"
        ? line.innerText : null"""


@pytest.fixture
def two_named(opened):
    """Cluster 10 is Ada, cluster 11 Bob, and 11 is open."""
    opened.click("#to-clusters")
    for cluster, name in (("10", "Ada"), ("11", "Bob")):
        opened.run(f"document.querySelector('[data-open=\"{cluster}\"]').click()")
        opened.type_into("#name", name)
        opened.keys(ENTER)
        assert opened.run(SEEN) == f"Named {name}"
        opened.keys(ESCAPE)
    opened.run("document.querySelector('[data-open=\"10\"]').click()")
    return opened


def test_what_is_refused_is_told_where_it_is_seen(two_named):
    assert text(two_named, "#told-here") == ""
    two_named.click("#near [data-join]")
    told = "Not taken: one individual would be named Ada and Bob. Undo that first."
    assert two_named.run(SEEN) == told
    assert text(two_named, "#told") == told
    assert two_named.run("return document.getElementById('told-here').role") == "status"


def test_it_is_seen_at_the_end_of_a_long_cluster(two_named):
    two_named.run("document.querySelector('#near').style.paddingTop = '3000px'")
    two_named.click("#near [data-join]")
    assert two_named.run("return document.getElementById('look').scrollTop") > 2000
    assert two_named.run(SEEN).startswith("Not taken")


def test_a_refused_name_leaves_the_field(opened):
    opened.keys("d")
    opened.click("#to-clusters")
    for cluster in ("0", "1"):
        opened.click(f'[data-open="{cluster}"]')
        opened.type_into("#name", "Ada")
        opened.keys(ENTER)
        told = opened.run(SEEN)
        name = opened.run("return document.getElementById('name').value")
        opened.keys(ESCAPE)
    assert told.startswith("Not taken: 000.jpg and 004.jpg were told apart")
    assert name == ""
