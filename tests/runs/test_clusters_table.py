"""``clusters.csv``, and the answers that a person gives."""

import csv

import numpy as np
import pytest

from fgu_jax.clustering import Standing
from fgu_jax.errors import InputError
from fgu_jax.runs.answers import read_answers
from fgu_jax.runs.clusters import read_clusters, write_clusters

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
    table = read_clusters(path)
    assert table.names == NAMES
    assert table.clusters.tolist() == [0, 0, 1, 1, 2]
    assert table.nearest.tolist() == [1, 1, 0, 0, -1]
    np.testing.assert_allclose(table.confidence, found.confidence, atol=1e-4)
    write_clusters(path, NAMES, np.arange(5) // 2, found, individuals={1: 'Eve, "E"'})
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        named = [row["name"] for row in csv.DictReader(file)]
    assert named == ["", "", 'Eve, "E"', 'Eve, "E"', ""]
    assert read_clusters(path).clusters.tolist() == [0, 0, 1, 1, 2]


def test_clusters_of_any_table(tmp_path):
    path = tmp_path / "clusters.csv"
    path.write_text("cluster,image\nlynx 7,a\nlynx 2,b\nlynx 7,c\n")
    table = read_clusters(path)
    assert (table.names, table.clusters.tolist()) == (("a", "b", "c"), [0, 1, 0])
    assert table.confidence.tolist() == [0, 0, 0]
    assert table.nearest.tolist() == [-1, -1, -1]


def test_whole_numbers_with_a_point_are_whole_and_told(tmp_path):
    path = tmp_path / "clusters.csv"
    path.write_text("image,cluster,nearest_cluster\na,0.0,1.0\nb,1.0,\nc,0.0,1.0\n")
    table = read_clusters(path)
    assert table.called == ("0", "1")
    assert table.clusters.tolist() == [0, 1, 0]
    assert table.nearest.tolist() == [1, -1, 1]
    said = (
        f"2 clusters of {path} are whole numbers saved with a point: '0.0' is '0' now"
    )
    assert table.notes == (said,)
    # A column with gaps alone became one of floats.
    path.write_text("image,cluster,nearest_cluster\na,0,1.0\nb,1,\nc,1.5,0.0\n")
    table = read_clusters(path)
    assert table.called == ("0", "1", "1.5")
    assert table.nearest.tolist() == [1, -1, 0]
    assert table.notes == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image\na\n", "has no column 'cluster'"),
        ("image,cluster\n", "holds no image"),
        ("image,cluster\na,0\nb\n", "line 3 has no cluster: was the file cut"),
        ("image,cluster\na,0\na,1\n", "line 3: image 'a' comes twice"),
        (
            "image,cluster,name\na,7,Ada\nb,7,\nc,7,Bob\n",
            "line 4: cluster '7' is named 'Bob', and 'Ada' further up: take one",
        ),
        ("image,cluster,cluster\na,0,1\n", "two columns 'cluster': leave one out"),
        ("image,Cluster,cluster \na,0,\n", "line 2 has no cluster"),
        ("image,Cluster,CLUSTER\na,0,1\n", "two columns 'cluster': leave one out"),
        (
            "image,cluster\na,1\nb,1.0\n",
            "line 3: cluster '1.0' is '1' further up: spell it once",
        ),
        ("image,cluster,confidence\na,0,1.5\n", "confidence is '1.5': give 0 to 1"),
        ("image,cluster,confidence\na,0,much\n", "confidence is 'much'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, says):
    (tmp_path / "clusters.csv").write_text(text)
    with pytest.raises(InputError, match=says) as refused:
        read_clusters(tmp_path / "clusters.csv")
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_clusters(tmp_path / "none.csv")


def _answers(folder, *lines, header="image,other,same"):
    path = folder / "answers.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_answers_become_pairs_of_rows(tmp_path):
    path = _answers(tmp_path, "b,a,yes", "c,a,No", "d,c,TRUE")
    found = read_answers(path, ("a", "b", "c", "d"))
    assert found.same.tolist() == found.must_link.tolist() == [[1, 0], [3, 2]]
    assert found.apart.tolist() == found.cannot_link.tolist() == [[2, 0]]
    assert (len(found), found.names) == (3, {})
    assert len(read_answers(None, ("a", "b"))) == 0


def test_names_are_answers_too(tmp_path):
    lines = ["a,,,Ada", "b,,,Ada", "c,,,Bob", "d,c,yes,", "e,a,no,Cy"]
    path = _answers(tmp_path, *lines, header="image,other,same,name")
    found = read_answers(path, tuple("abcdef"))
    assert found.names == {0: "Ada", 1: "Ada", 2: "Bob", 4: "Cy"}
    assert found.must_link.tolist() == [[3, 2], [0, 1]]
    apart = {frozenset(pair) for pair in found.cannot_link.tolist()}
    assert apart == {frozenset(pair) for pair in [(4, 0), (1, 2), (2, 4), (1, 4)]}
    names = found.name_of_clusters(np.array([0, 0, 1, 1, 2, 3]))
    assert names == {0: "Ada", 1: "Bob", 2: "Cy"}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a,aa.jpg,yes"], "no image 'aa.jpg' among 3: did you mean 'a.jpg'"),
        (["a.jpg,b.jpg,yess"], "line 2: unknown answer 'yess': did you mean 'yes'"),
        (
            ["a.jpg,b.jpg,yes", "b.jpg,c.jpg,yes", "c.jpg,a.jpg,no"],
            "keeps 'c.jpg' and 'a.jpg' apart, and its other answers make them one",
        ),
        (["a.jpg,a.jpg,no"], "keeps 'a.jpg' and 'a.jpg' apart"),
        (["a.jpg,b.jpg,yes", "b.jpg,c.j"], "line 3 ends after 'c.j', .* was cut"),
        (["a.jpg,b.jpg,yes", "b.j"], "line 3 ends after 'b.j', .* was cut"),
        (["a.jpg,b.jpg,y"], "line 2: unknown answer 'y'"),
        (["a.jpg,,,"], "line 2: no image '' among 3"),
        (["a.jpg,,,Ada", "a.jpg,,,Bob"], "'a.jpg' is named 'Bob', and 'Ada' further"),
        (
            ["a.jpg,,,Ada", "b.jpg,,,Bob", "a.jpg,b.jpg,yes,"],
            "names 'a.jpg' 'Ada' and 'b.jpg' 'Bob', and its other answers make them",
        ),
        (
            ["a.jpg,,,Ada", "b.jpg,,,Ada", "a.jpg,b.jpg,no,"],
            "keeps 'a.jpg' and 'b.jpg' apart",
        ),
    ],
)
def test_answers_that_make_no_sense_are_refused_by_name(tmp_path, lines, says):
    lines[0] = lines[0].replace("a,aa", "a.jpg,aa")
    path = _answers(tmp_path, *lines, header="image,other,same,name")
    with pytest.raises(InputError, match=says) as refused:
        read_answers(path, ("a.jpg", "b.jpg", "c.jpg"))
    assert "\n" not in str(refused.value)


def test_a_file_that_holds_no_answers_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_answers(tmp_path / "none.csv", ("a",))
    with pytest.raises(InputError, match="has no column 'same'"):
        read_answers(_answers(tmp_path, header="image,other"), ("a",))
