"""``clusters.csv`` and ``answers.csv`` as spreadsheets and people save them."""

import pytest

from fgu_jax.errors import InputError
from fgu_jax.runs.answers import read_answers
from fgu_jax.runs.clusters import read_clusters

IMAGES = ("a.jpg", "b.jpg", "caf\u00e9.jpg")
CLUSTERS = """image,cluster,confidence,nearest_cluster,name
a.jpg,0,0.9,1,Zo\u00eb
b.jpg,0,0.8,1,Zo\u00eb
caf\u00e9.jpg,1,0.25,0,
"""
ANSWERS = """image,other,same,name
a.jpg,b.jpg,yes,Zo\u00eb
b.jpg,caf\u00e9.jpg,no,
"""

DIALECTS = {
    "as it was": lambda text: text.encode(),
    "semicolons": lambda text: text.replace(",", ";").encode("utf-8-sig"),
    "decimal commas": lambda text: (
        text.replace(",", ";").replace("0.", "0,").encode("utf-8-sig")
    ),
    "bars": lambda text: text.replace(",", "|").encode(),
    "UTF-16 with tabs": lambda text: text.replace(",", "\t").encode("utf-16"),
    "an old code page": lambda text: text.encode("cp1252"),
    "capitals": lambda text: (
        text.partition("\n")[0].title() + text[text.index("\n") :]
    ).encode(),
    "empty rows": lambda text: (text + ",,,,\n,,,\n\n").encode(),
    "empty columns": lambda text: text.replace("\n", ",,\n").encode(),
    "quotes": lambda text: "\r\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()
    ).encode(),
    "sep=": lambda text: ("sep=;\n" + text.replace(",", ";")).encode(),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_gives_the_same(tmp_path, dialect):
    (tmp_path / "clusters.csv").write_bytes(dialect(CLUSTERS))
    table = read_clusters(tmp_path / "clusters.csv", IMAGES)
    assert table.names == IMAGES
    assert table.clusters.tolist() == [0, 0, 1]
    assert table.confidence.tolist() == [0.9, 0.8, 0.25]
    assert table.nearest.tolist() == [1, 1, 0]
    assert table.called == ("0", "1")
    assert table.individuals == {0: "Zo\u00eb"}
    (tmp_path / "answers.csv").write_bytes(dialect(ANSWERS))
    found = read_answers(tmp_path / "answers.csv", IMAGES)
    assert found.same.tolist() == [[0, 1]]
    assert found.apart.tolist() == [[1, 2]]
    assert found.names == {0: "Zo\u00eb"}


def test_a_name_of_other_bytes_on_the_disk_stays_as_it_is(tmp_path):
    path = tmp_path / "clusters.csv"
    path.write_bytes("image,cluster\ncaf\u00e9.jpg,0\n".encode("cp1252"))
    for there in ((), ("caf\udce9.jpg",), ("caf\udce9.jpg", "caf\u00e9.jpg")):
        assert read_clusters(path, there).names == ("caf\udce9.jpg",)
    assert read_clusters(path, IMAGES).names == ("caf\u00e9.jpg",)
    path.write_bytes(b"image,cluster\na.jpg,\x81\nb.jpg,\x8d\n")  # of no code page
    assert len(read_clusters(path, IMAGES).called) == 2


def test_a_column_of_the_table_beside_ours_is_not_taken_for_it(tmp_path):
    path = tmp_path / "clusters.csv"
    path.write_text("image,cluster,Image,a;b;c;d;e\na.jpg,0,x.jpg,1\n")
    assert read_clusters(path).names == ("a.jpg",)


READERS = pytest.mark.parametrize(
    ("read", "lines"),
    [
        (read_clusters, ["image,cluster", *(f"{n}.jpg,{n % 3}" for n in range(40))]),
        (
            lambda path: read_answers(path, [f"{n}.jpg" for n in range(41)]),
            ["image,other,same", *(f"{n}.jpg,{n + 1}.jpg,yes" for n in range(40))],
        ),
    ],
    ids=["clusters", "answers"],
)


@READERS
@pytest.mark.parametrize("line", [0, 15, 40])
@pytest.mark.parametrize("behind", [0, 200_000])
def test_an_open_quote_swallows_nothing(tmp_path, read, lines, line, behind):
    path = tmp_path / "edited.csv"
    lines = [*lines[:line], '"' + lines[line], *lines[line + 1 :]]
    path.write_text("\n".join(lines) + "\n" + "\n" * behind)
    says = rf"edited.csv, line {line + 1}: .*: is a quote left open there\? Close it"
    with pytest.raises(InputError, match=says) as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_a_quote_that_closes_by_chance_swallows_nothing(tmp_path):
    path = tmp_path / "edited.csv"
    path.write_text('image,cluster,name\na.jpg,0,"Ada\nb.jpg,1,\nc.jpg,2,Bob"\n')
    with pytest.raises(InputError, match="line 4: its name begins lines before"):
        read_clusters(path)
    path.write_text('image,other,same\na.jpg,b.jpg,"yes\nb.jpg,c.jpg,no"\n')
    with pytest.raises(InputError, match="line 3: its same begins lines before"):
        read_answers(path, ("a.jpg", "b.jpg", "c.jpg"))


@READERS
def test_lines_are_those_of_the_file(tmp_path, read, lines):
    path = tmp_path / "edited.csv"
    path.write_text("\n".join(["", *lines[:3], "", ",,", "9.jpg"]))
    with pytest.raises(InputError, match="edited.csv, line 7 .* was (the file )?cut"):
        read(path)
    path.write_text("\n".join([*lines[:2], "a,b.jpg,0,yes"]))
    with pytest.raises(
        InputError, match=r"line 3: it has 4 cells and the first line .: put quotes"
    ):
        read(path)


def test_what_is_cut_within_a_line_is_refused(tmp_path):
    path = tmp_path / "clusters.csv"
    whole = CLUSTERS.partition("caf")[0]
    path.write_bytes(whole.encode("utf-16"))
    assert read_clusters(path).names == IMAGES[:2]
    for end, lacks in (
        ("caf", "cluster"),
        ("caf,1", "confidence"),
        ("caf,", "cluster"),
    ):
        path.write_bytes((whole + end).encode("utf-16"))
        with pytest.raises(
            InputError, match=f"line 4 has no {lacks}: was the file cut"
        ):
            read_clusters(path)
    path.write_text("cluster,image\n0,a.jpg\n1")
    with pytest.raises(InputError, match="line 3 has no image: was the file cut"):
        read_clusters(path)
