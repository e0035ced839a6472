"""``clusters.csv``, and the answers that a person gives."""

import csv

import numpy as np
import pytest

from fgu_jax.clustering import Standing
from fgu_jax.errors import InputError
from fgu_jax.runs.answers import read_answers
from fgu_jax.runs.clusters import write_clusters

NAMES = ("a,b.jpg", 'say "x".jpg', "two\nlines.jpg", "caf\udce9.jpg", "é日.jpg")


def test_names_come_out_of_the_csv_as_they_are_on_the_disk(tmp_path):
    path = tmp_path / "clusters.csv"
    path.write_text("old")
    found = Standing(
        own=np.zeros(5),
        nearest=np.array([1, 1, 0, 0, -1], np.int32),
        other=np.zeros(5),
        confidence=np.linspace(0, 1, 5),
    )
    write_clusters(path, NAMES, np.arange(5) // 2, found)
    assert b"caf\xe9.jpg" in path.read_bytes()
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert tuple(row["image"] for row in rows) == NAMES
    assert [row["cluster"] for row in rows] == ["0", "0", "1", "1", "2"]
    assert [row["confidence"] for row in rows] == [f"{i / 4:.4f}" for i in range(5)]
    assert [row["nearest_cluster"] for row in rows] == ["1", "1", "0", "0", ""]
    assert list(tmp_path.iterdir()) == [path]


def _answers(folder, *lines, header="image,other,same"):
    path = folder / "answers.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_answers_become_pairs_of_rows(tmp_path):
    path = _answers(tmp_path, "b,a,yes", "c,a,No", "d,c,TRUE")
    assert read_answers(path, ("a", "b", "c", "d")) == ([(1, 0), (3, 2)], [(2, 0)])
    assert read_answers(None, ("a", "b")) == ([], [])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a,aa.jpg,yes"], "line 2: no image 'aa.jpg': did you mean 'a.jpg'"),
        (["a.jpg,b.jpg,yess"], "line 2: unknown answer 'yess': did you mean 'yes'"),
        (
            ["a.jpg,b.jpg,yes", "b.jpg,c.jpg,yes", "c.jpg,a.jpg,no"],
            "keeps 'c.jpg' and 'a.jpg' apart, and its other answers make them one",
        ),
        (["a.jpg,a.jpg,no"], "keeps 'a.jpg' and 'a.jpg' apart"),
    ],
)
def test_answers_that_make_no_sense_are_refused_by_name(tmp_path, lines, says):
    lines[0] = lines[0].replace("a,aa", "a.jpg,aa")
    with pytest.raises(InputError, match=says) as refused:
        read_answers(_answers(tmp_path, *lines), ("a.jpg", "b.jpg", "c.jpg"))
    assert "\n" not in str(refused.value)


def test_a_file_that_holds_no_answers_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_answers(tmp_path / "none.csv", ("a",))
    with pytest.raises(InputError, match="has no column 'same'"):
        read_answers(_answers(tmp_path, header="image,other"), ("a",))
