"""answers.csv as spreadsheets save it: the page takes what cluster.py takes."""

import dataclasses
import json

import browser as browsers
import numpy as np
import pytest
from review_page import open_page, saved

from fgu_jax.runs.answers import NONE, Answers, read_answers

pytestmark = browsers.NEEDED

COMMAS = "image,other,same,name\r\n000.jpg,004.jpg,yes,\r\n012.jpg,,,José 😀\r\n"
SEMICOLONS = COMMAS.replace(",", ";")
FILES = {
    "semicolons": SEMICOLONS.encode(),
    "tabs": COMMAS.replace(",", "\t").encode(),
    "bars": COMMAS.replace(",", "|").encode(),
    "a byte order mark": SEMICOLONS.encode("utf-8-sig"),
    "UTF-16": COMMAS.replace(",", "\t").encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + COMMAS.encode("utf-16-be"),
    "UTF-16 without a mark": COMMAS.encode("utf-16-le"),
    "capitals": COMMAS.replace(
        "image,other,same,name", "Image,OTHER,Same,Name"
    ).encode(),
    "TRUE": COMMAS.replace("yes", "TRUE").encode(),
    "empty rows": f"{SEMICOLONS};;;\r\n\r\n ; ;;\r\n".encode(),
    "a line for Excel": f"sep=;\r\n{SEMICOLONS}".encode(),
    "quotes": COMMAS.replace("image,other", '"image","other"').encode(),
    "line ends of old": COMMAS.replace("\r\n", "\r").encode(),
    "blanks": COMMAS.replace(",", ", ").encode(),
    "columns of one's own": COMMAS.replace(",name\r", ",name,a;b;c;d,\r").encode(),
}


def take(browser, path, told):
    browser.run("tell('')")
    browser.type_into("#open", str(path))
    said = f"document.getElementById('told').innerText.includes({json.dumps(told)})"
    browser.wait_until(said)


@pytest.mark.parametrize("what", FILES)
def test_what_a_spreadsheet_saved_is_opened(opened, images, tmp_path, what):
    path = tmp_path / "came back.csv"
    path.write_bytes(FILES[what])
    take(opened, path, "Opened: 1 pair, 1 name")
    for answers in (path, saved(opened, tmp_path)):
        found = read_answers(answers, images.names)
        assert found.same.tolist() == [[0, 4]]
        assert found.names == {12: "José 😀"}


def test_an_old_code_page(browser, review, images, tmp_path):
    names = ("Zoë.jpg", *images.names[1:])
    page = dataclasses.replace(review, names=names)
    opened = open_page(browser, page, images, tmp_path)
    path = tmp_path / "came back.csv"
    lines = "image;other;same;name\r\nZoë.jpg;004.jpg;no;\r\n012.jpg;;;Jörg €\r\n"
    path.write_bytes(lines.encode("cp1252"))
    take(opened, path, "Opened: 1 pair, 1 name")
    for answers in (path, saved(opened, tmp_path)):
        found = read_answers(answers, names)
        assert found.apart.tolist() == [[0, 4]]
        assert found.names == {12: "Jörg €"}


def test_names_with_any_letter_come_back(browser, review, images, tmp_path):
    odd = ('a;"b"\t|.jpg', "c\r\nd.jpg", "e,\udce9.jpg", "sep=;.jpg")
    names = (*odd, *images.names[4:])
    given = Answers(np.array([[0, 1], [2, 3]]), NONE.apart, {1: 'Ada; "A", A'})
    page = dataclasses.replace(review, names=names, answers=given)
    opened = open_page(browser, page, images, tmp_path)
    path = saved(opened, tmp_path)
    before = path.read_bytes()
    take(opened, path, "Opened: 2 pairs, 1 name")
    assert saved(opened, tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a;b\n1;2\n", "its first line is not image,other,same"),
        ("\n\n", "its first line is not image,other,same"),
        ("image;other;same\n\n;;\n000.jpg;gone.jpg;yes\n", "line 4: no image gone.jpg"),
        ('image,other,same,name\n000.jpg,,,"Bob\n001.jpg,,,Eve\n', "line 2: a quote"),
        ("Image,image,other,same,IMAGE\n", "Opened: 0 pairs"),
        ("image,Other,other,OTHER,same\n", "Opened: 0 pairs"),
        ("image,Other,OTHER,same\n", "it has two columns other"),
        ('image,other,same,name\n000.jpg,,,"A\n004.jpg,,,"E"\n', "line 2: its name"),
        ("image,other,same\n000.jpg,004.jpg,yes,no\n", "line 2: it has 4 cells"),
    ],
)
def test_what_is_refused_is_told_by_its_line(opened, tmp_path, lines, told):
    path = tmp_path / "answers.csv"
    path.write_text(lines)
    take(opened, path, told)
