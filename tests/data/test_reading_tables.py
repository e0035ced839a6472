"""Tables of labels in the dialects, columns and paths that people have."""

import numpy as np
import pytest
from drawn_trees import picture, put, who

from fgu_jax.data import load_dataset
from fgu_jax.data.layouts.dialect import decode_table
from fgu_jax.data.layouts.table import read_rows
from fgu_jax.errors import InputError


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "images"
    for i in range(3):
        for j in range(2):
            put(root / f"{i:03d}_{j}.png", i, j)
    return root


def load(tree, text, **options):
    path = tree.parent / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_dataset("folder", data_dir=tree, table=path, **options)


LABELS = {f"{i:03d}_{j}.png": f"fox{i}" for i in range(3) for j in range(2)}


def table(header="image,identity", separator=",", end="\n", before=""):
    lines = [header] + [f"{before}{n}{separator}{who_}" for n, who_ in LABELS.items()]
    return end.join(lines) + end


@pytest.mark.parametrize(
    "text",
    [
        table("image, identity"),  # 3: blanks around names
        table(" Image ,IDENTITY "),
        table("path,individual_id"),
        table("filename,pid"),
        table("file_name;Individual ID", ";"),
        table("image\tname", "\t"),
        table("sep=;\nimage;identity", ";"),
        table(end="\r\n"),
        table(end="\r"),
        b"\xef\xbb\xbf" + table().encode(),
        table().encode("utf-16"),
        table().encode("utf-16-le"),
        table(before="C:\\Users\\me\\images\\"),
        table(before="/elsewhere/images/"),
        table(before="./"),
        table(before="images/"),
        table().replace("\n", "\n\n"),
        table("image,identity,"),
        table().replace(".png", ".PNG"),
        '"image","identity"\n'
        + "".join(f'"{n}","{who_}"\n' for n, who_ in LABELS.items()),
    ],
)
def test_every_dialect_gives_the_same_labels(tree, text):
    data = load(tree, text)
    assert who(data.train, data.train_labels, data.identity_names) == LABELS
    assert data.reading.files == data.reading.taken == 6


def test_columns_that_are_not_read_are_named(tree):
    text = "image,identity,date\n" + "".join(f"{n},a,2024\n" for n in LABELS)
    data = load(tree, text)
    assert data.reading.notes == ("columns that are kept and not read: 'date'",)
    row = {"image": "000_0.png", "identity": "a", "date": "2024"}
    assert data.columns["000_0.png"] == row


def test_a_mistyped_column_is_asked_about(tree):
    data = load(tree, table("image,idendity"))
    assert data.train_labels is None
    assert "column 'idendity' is not read: call it 'identity' if it is" in (
        data.reading.notes
    )


def test_a_column_of_row_numbers_is_no_identity_but_is_asked_about(tree):
    text = "image,id\n" + "".join(f"{n},{k}\n" for k, n in enumerate(LABELS))
    data = load(tree, text)
    assert data.train_labels is None
    assert any("'id' has another value in each row" in n for n in data.reading.notes)


# 8: as wildlife-datasets writes them.
def wildlife(rows):
    return "image_id,identity,path,bbox,date,split\n" + "".join(
        f'{k},{who_},{name},"[2.0, 2.0, 24.0, 56.0]",2024-05-{k + 1:02d},{split}\n'
        for k, (name, who_, split) in enumerate(rows)
    )


def test_a_table_of_wildlife_datasets_is_read_as_it_is(tree):
    splits = ["train", "train", "train", "test", "test", "test"]
    names = dict(zip(LABELS, ["a", "unknown", "nan", "b", "b", ""], strict=True))
    rows = zip(names, names.values(), splits, strict=True)
    data = load(tree, wildlife(rows))
    assert len(data.train) == 3
    assert who(data.train, data.train_labels, data.identity_names) == {
        "000_0.png": "a",
        "000_1.png": -1,
        "001_0.png": -1,
    }
    assert data.identity_names == ("a", "b")
    assert set(data.gallery.names) == {"001_1.png", "002_0.png"}  # of nobody: junk
    assert data.reading.left_out["002_1.png"].startswith("of nobody known")
    assert data.reading.files == 6
    assert data.columns["002_0.png"]["date"] == "2024-05-05"
    row = data.train.names.index("000_0.png")
    wanted = np.asarray(picture(0, 0))[2:58, 2:26]
    np.testing.assert_array_equal(data.train.decode(56, 24)[row], wanted)
    np.testing.assert_array_equal(data.train.decode_row(row, 56, 24), wanted)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("bbox", '"[2, 3, 10, 20]"'),
        ("bbox", '"2 3 10 20"'),
        ("box", '"(2.0; 3.0; 10; 20)"'),
        ("x,y,w,h", "2,3,10,20"),
        ("X,Y,Width,Height", "2,3,10,20"),
        ("xmin,ymin,xmax,ymax", "2,3,12,23"),
        ("x1,y1,x2,y2", "2,3,12,23"),
    ],
)
def test_boxes_in_every_spelling(tree, header, cells):
    data = load(tree, f"image,{header}\n000_0.png,{cells}\n")
    row = data.train.names.index("000_0.png")
    assert data.train.boxes[row] == (2, 3, 12, 23)
    assert data.reading.counts["boxes"] == 1


def test_two_boxes_are_two_crops_and_those_without_area_are_told(tree):
    text = 'image,identity,bbox\n000_0.png,a,"0,0,8,8"\n000_0.png,b,"8,8,8,8"\n'
    data = load(tree, text + '001_0.png,a,"3,3,0,5"\n002_0.png,a,nan\n')
    names = set(data.train.names)
    assert {"000_0.png#0,0,8,8", "000_0.png#8,8,16,16", "002_0.png"} <= names
    assert "001_0.png" not in names
    assert data.reading.left_out == {"001_0.png": "its box has no area"}
    assert data.reading.taken == 5


def test_a_box_beside_the_picture_cannot_be_read(tree):
    text = 'image,bbox\n000_0.png,"100,100,8,8"\n001_0.png,"-4,-4,8,8"\n'
    with pytest.raises(InputError, match=r"box 100, 100 to 108, 108 has no pixel of"):
        load(tree, text).train.decode(8, 8)
    data = load(tree, text, skip_bad=True)
    assert "000_0.png" not in data.train.names
    assert data.reading.left_out["000_0.png"].startswith("cannot be read: box 100")
    row = data.train.names.index("001_0.png")  # as far as it lies inside
    wanted = np.asarray(picture(1, 0))[:4, :4]
    np.testing.assert_array_equal(data.train.decode(4, 4)[row], wanted)


@pytest.mark.parametrize(
    ("box", "over"),
    [
        ("0,0,32,64", False),
        ("-1,0,8,8", True),
        ("0,-1,8,8", True),
        ("30,0,3,8", True),
        ("0,60,8,5", True),
    ],
)
def test_boxes_over_the_edge_are_told(tree, box, over):
    text = f'image,bbox\n000_0.png,"{box}"\n000_1.png,"1,1,8,8"\n'
    pictures = load(tree, text).reading.pictures
    told = [line for line in pictures if "reach over the edge" in line]
    assert len(told) == over
    if over:
        assert told[0].startswith("1 of 2 boxes looked at")
        assert told[0].endswith("such as of '000_0.png'")


@pytest.mark.parametrize("column", ["split", "camera"])
def test_a_column_that_is_empty_is_as_if_it_were_not_there(tree, column):
    text = f"image,identity,{column}\n" + "".join(f"{n},a,\n" for n in LABELS)
    data = load(tree, text)
    assert f"column {column!r} is empty and not read" in data.reading.notes
    assert len(data.train) == 6
    assert data.train_labels.cameras is None
    filled = "train" if column == "split" else "7"
    with pytest.raises(InputError, match=f"line 3: no {column} for '000_1.png': fill"):
        load(tree, text.replace("000_0.png,a,", f"000_0.png,a,{filled}"))


def test_paths_of_another_kind_among_others_are_found_and_told(tree):
    names = list(LABELS)
    loud = names[1].replace("png", "PNG")
    said = [f"/elsewhere/images/{names[0]}", f"C:\\me\\{loud}", *names[2:]]
    text = "image,identity\n" + "".join(f"{name},a\n" for name in said)
    data = load(tree, text)
    assert (data.train_labels.identities == 1).all()
    notes = data.reading.notes
    assert "1 paths of the table are taken without '/elsewhere/images/'" in notes
    assert "1 paths of the table are taken without 'C:/me/'" in notes
    assert not any("taken" in note for note in load(tree, table()).reading.notes)


def test_a_relative_path_of_another_folder_is_none_of_these(tree):
    text = f"image,identity\n000_0.png,a\nother/{list(LABELS)[1]},a\n"
    notes = load(tree, text).reading.notes
    assert any("1 rows of the table name no image" in note for note in notes)


def test_what_cameras_were_called_is_kept(tree):
    names = ["north", "south", "north", "", "south", "north"]
    rows = zip(LABELS, names, strict=True)
    text = "image,camera\n" + "".join(f"{n},{camera}\n" for n, camera in rows)
    data = load(tree, text)
    assert data.camera_names == {1: "north", 2: "south"}
    cameras = data.train_labels.cameras.tolist()
    of = dict(zip(data.train.names, cameras, strict=True))
    assert [of[name] for name in LABELS] == [1, 2, 1, 0, 2, 1]
    assert load(tree, "image,camera\n000_0.png,7\n").camera_names == {}


def test_what_the_table_does_not_name_trains_unless_it_tells_splits(tree):
    data = load(tree, "image,identity\n000_0.png,a\n000_1.png,a\n")
    assert len(data.train) == 6
    assert list(data.query.names) == [data.query.names[0]]
    data = load(tree, "image,identity,split\n000_0.png,a,train\n000_1.png,a,train\n")
    assert len(data.train) == 2
    assert len(data.reading.left_out) == 4


def test_images_that_are_gone_are_counted(tree):
    data = load(tree, "image,identity\n000_0.png,a\ngone.png,a\nalso.png,b\n")
    assert any(
        "2 rows of the table name no image that is there, such as line 3" in note
        for note in data.reading.notes
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image,image\na,b\n", "two columns 'image'"),
        ("image,identity\n000_0.png,a,b\n", "line 2: it has 3 cells"),
        ('image,who\n000_0.png,"a\n000_1.png,b\n', "line 2: unexpected end .* open"),
        ("image,bbox\n000_0.png,here\n", "line 2: box 'here' is not four"),
        ("image,bbox\n000_0.png,1 2 3\n", "line 2: box '1 2 3' is not four"),
        ("image,bbox\n000_0.png,1e99 2 3 4\n", "is not four numbers"),
        ("who,when\nx,y\n", "has columns who, when: it needs image"),
        ("image\nnowhere.png\n", "line 2: image 'nowhere.png' is not in"),
    ],
)
def test_what_is_refused(tree, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load(tree, text)
    assert "\n" not in str(caught.value)


def test_names_in_an_old_code_page(tmp_path):
    root = tmp_path / "images"
    put(root / "caf\u00e9.png")
    data = load(root, "image;identity\ncaf\u00e9.png;Zo\u00eb\n".encode("cp1252"))
    assert data.identity_names == ("Zo\u00eb",)


def test_text_of_a_table():
    assert decode_table("a;\u00e9".encode("utf-16-be")) == "a;\u00e9"
    rows = read_rows("image\n a b.png\n", [" a b.png"], "here").rows
    assert [row.key for row in rows] == [" a b.png"]
