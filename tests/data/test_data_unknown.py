"""Images of nobody, or of nobody known: learnt from, not ranked, not counted."""

import numpy as np
import pytest
from PIL import Image

from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import Judge

PATTERN = "{identity}_c{camera}*.jpg"


def fill(root, names):
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 6), (9 * i, 40, 90)).save(path)
    return root


def who(images, labels):
    return dict(zip(images.names, labels.identities.tolist(), strict=True))


def test_names_of_market_have_its_junk_and_its_distractors(tmp_path):
    names = [
        "0002_c1s1_000451_03.jpg",
        "0002_c2s1_000451_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0000_c2s1_000151_01.jpg",
        "-1_c1s1_000401_03.jpg",
        "-1_c2s1_000401_03.jpg",
    ]
    data = load_dataset("folder", data_dir=fill(tmp_path, names), pattern=PATTERN)
    assert data.identity_names == ("0002",)
    assert data.found["junk images"] == 2
    # All are learnt from, and the two of 0002 are the queries.
    assert who(data.train, data.train_labels) == dict(
        zip(names, [1, 1, 0, 0, -1, -1], strict=True)
    )
    assert who(data.query, data.query_labels) == dict.fromkeys(names[:2], 1)
    ranked = Judge(data, 8, 4).histogram()
    assert set(ranked) >= {"histogram_mAP"}


def test_elsewhere_zero_is_a_person_and_minus_one_nobody(tmp_path):
    names = ["0_c1.jpg", "0_c2.jpg", "1_c1.jpg", "-1_c1.jpg"]
    data = load_dataset("folder", data_dir=fill(tmp_path, names), pattern=PATTERN)
    assert data.identity_names == ("0", "1")
    assert data.found["junk images"] == 1
    assert who(data.train, data.train_labels) == dict(
        zip(names, [1, 1, 2, -1], strict=True)
    )
    assert set(data.query.names) == set(names[:3])


def test_a_table_may_number_people_its_own_way(tmp_path):
    names = ["0000_c1s1_000151_01.jpg", "0002_c1s1_000151_01.jpg"]
    table = tmp_path / "labels.csv"
    table.write_text(f"image,identity\n{names[0]},ann\n{names[1]},0\n")
    root = fill(tmp_path / "images", names)
    data = load_dataset("folder", data_dir=root, table=table)
    assert data.identity_names == ("0", "ann")
    assert who(data.train, data.train_labels) == {names[0]: 2, names[1]: 1}


@pytest.fixture
def table(tmp_path):
    fill(tmp_path / "images", [f"{k}.jpg" for k in range(6)])

    def load(rows):
        path = tmp_path / "labels.csv"
        path.write_text("image,identity,camera,split\n" + "\n".join(rows) + "\n")
        return load_dataset("folder", data_dir=tmp_path / "images", table=path)

    return load


RANKED = ["4.jpg,fox,1,query", "5.jpg,fox,2,gallery"]


def test_training_images_need_no_identity(table):
    data = table(["0.jpg,,,train", "1.jpg,,7,train", *RANKED])
    assert len(data.train) == 2
    assert not data.train_labels.known
    of = dict(zip(data.train.names, data.train_labels.cameras.tolist(), strict=True))
    assert of == {"0.jpg": 0, "1.jpg": 7}  # 0: of no camera
    assert data.query_labels.cameras.tolist() == [1]
    judge = Judge(data, 8, 4)
    assert judge.clusters(np.array([0, 1])) == {}
    assert "histogram_mAP" in judge.histogram()


def test_those_that_have_one_are_judged_by_it(table):
    rows = ["0.jpg,owl,1,train", "1.jpg,,,train", "2.jpg,owl,2,train"]
    data = table([*rows, "3.jpg,elk,1,train", *RANKED])
    known = who(data.train, data.train_labels)
    assert known == {"0.jpg": 3, "1.jpg": -1, "2.jpg": 3, "3.jpg": 1}
    # The unknown one shares a cluster with an owl, which is no fault of the cluster.
    of = {"0.jpg": 0, "1.jpg": 0, "2.jpg": 0, "3.jpg": 1}
    clusters = np.array([of[name] for name in data.train.names])
    found = Judge(data, 8, 4).clusters(clusters)
    assert (found["purity"], found["nmi"]) == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.jpg,fox,,train", "line 2: no camera"),
        ("0.jpg,fox,1,", "line 2: no split"),
        ("0.jpg", "line 2: no identity"),
    ],
)
def test_what_is_still_refused(table, row, message):
    with pytest.raises(InputError, match=message):
        table([row, *RANKED])
