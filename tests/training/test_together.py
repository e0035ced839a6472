"""Answers and tracks in training: new clusters honour them."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from small_run import SMALL_RUN
from test_regrouping import JACCARD, N, _features, _new

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.data import Labels, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.runs.answers import Answers
from fgu_jax.training.together import Together, known_together, with_tracks

ANEW = {
    **{k: v for k, v in SMALL_RUN.items() if k != "merge_fraction"},
    "distance": "jaccard",
    "merge_from": "images",
    "merge_criterion": "average",
    "merge_start": 0,
    "k1": 4,
    "k2": 2,
}


def pairs(*rows):
    return np.array(rows, np.int64).reshape(-1, 2)


def test_new_clusters_honour_answers_and_tracks():
    x = _features()
    alone = _new(JACCARD, x)
    same = next((0, k) for k in range(1, N) if alone[k] != alone[0])
    apart = next((5, k) for k in range(6, N) if alone[k] == alone[5])
    answers = Answers(pairs(same), pairs(apart), {})
    found = _new(JACCARD, x, together=Together(answers))
    assert found[same[0]] == found[same[1]]
    assert found[apart[0]] != found[apart[1]]
    tracks = np.zeros(N, np.int32)
    tracks[[2, 9, 40]] = 3
    found = _new(JACCARD, x, together=Together(tracks=tracks))
    assert len(set(found[[2, 9, 40]])) == 1
    assert not Together()
    np.testing.assert_array_equal(_new(JACCARD, x, together=Together()), alone)


def test_those_alone_are_left_out_of_honoured_clusters_too():
    x = _features(spread=2.0)
    config = dataclasses.replace(JACCARD, alone="left_out", max_distance=0.2)
    answers = Answers(pairs((0, 1)), pairs(), {})
    found = _new(config, x, together=Together(answers))
    assert found[0] == found[1] >= 0
    assert (found == -1).any()


def test_the_unsure_are_left_out_of_honoured_clusters_too():
    x = _features()
    answers = Answers(pairs((0, 1)), pairs(), {})
    every = _new(JACCARD, x, together=Together(answers))
    config = dataclasses.replace(JACCARD, unsure_left_out=0.25)
    found = _new(config, x, together=Together(answers))
    many = np.bincount(every)[every] > 1
    assert (found == -1).sum() == int(0.25 * many.sum()) > 5
    assert (found[~many] >= 0).all()


@pytest.fixture
def photos(tmp_path):
    """24 pictures of six colours in bursts of two, and a table of them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["image,burst,date"]
    for k in range(24):
        colour = (40 * (k % 6), 200 - 30 * (k % 6), 5 * (k // 6))
        Image.new("RGB", (16, 32), colour).save(folder / f"{k:02}.png")
        lines.append(f"{k:02}.png,b{k // 12}{k % 6},day {k}")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder


def run(photos, tmp_path, **changes):
    config = presets.resolve(
        {
            **ANEW,
            "dataset": "folder",
            "data_dir": str(photos),
            "workdir": str(tmp_path / "run"),
            "epochs": 2,
            "merge_stop": 2,
        }
        | changes
    )
    made = fgu_jax.fit(config, quiet=True)
    with (tmp_path / "run" / "clusters.csv").open(newline="") as file:
        return made, list(csv.DictReader(file))


def test_a_run_honours_them_and_gives_the_columns_back(photos, tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text(
        "image,other,same,name\n00.png,01.png,yes,\n02.png,08.png,no,\n04.png,,,Eve\n"
    )
    made, rows = run(photos, tmp_path, links=str(answers), pattern="table.csv")
    of = {row["image"]: row for row in rows}
    assert of["00.png"]["cluster"] == of["01.png"]["cluster"]
    assert of["02.png"]["cluster"] != of["08.png"]["cluster"]
    assert of["04.png"]["name"] == "Eve"
    assert of["07.png"]["date"] == "day 7"
    learnt = dict(zip(made.names, made.clusters.tolist(), strict=True))
    assert learnt["00.png"] == learnt["01.png"]
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["links"] == str(answers)


def test_a_run_goes_on_with_the_same_answers_alone(photos, tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text("image,other,same\n00.png,01.png,yes\n")
    changes = {"links": str(answers), "pattern": "table.csv"}
    run(photos, tmp_path, **changes)
    longer = changes | {"resume": True, "epochs": 3}
    for text in ("image,other,same\n00.png,01.png,no\n", "image,other,same\n"):
        answers.write_text(text)
        with pytest.raises(InputError, match="trained with other answers, tracks or"):
            run(photos, tmp_path, **longer)
    answers.write_text("image,other,same\n00.png,01.png,yes\n")
    assert run(photos, tmp_path, **longer)[0].history[-1]["epoch"] == 3


def test_a_run_keeps_tracks_together(photos, tmp_path):
    _, rows = run(photos, tmp_path, use_tracks=True, pattern="table.csv")
    of = {row["image"]: row for row in rows}
    for k in range(24):
        if k % 12 < 6:
            mate = f"{k + 6:02}.png"
            assert of[f"{k:02}.png"]["burst"] == of[mate]["burst"]
            assert of[f"{k:02}.png"]["cluster"] == of[mate]["cluster"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_tracks": True}, "no track of folder is known"),
        ({"links": "none.csv"}, "none.csv cannot be read"),
        (
            {"links": "x.csv", "merge_criterion": "max"},
            "links with merge_criterion 'max': give merge_criterion 'average'",
        ),
        (
            {"use_tracks": True, "merge_from": "clusters"},
            "use_tracks with merge_from 'clusters': give merge_from 'images'",
        ),
        (
            {"links": "x.csv", "distance": "euclid", "k1": None, "k2": None},
            "links with distance 'euclid': give distance 'jaccard'",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(photos, tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        run(photos, tmp_path, **changes)
    assert not (tmp_path / "run").exists()


def test_boxes_of_one_picture_are_kept_apart_in_training(photos):
    table = photos / "boxes.csv"
    lines = [f'{k:02}.png,"[{left}, 0, 8, 32]"' for k in range(12) for left in (0, 8)]
    table.write_text("\n".join(["image,bbox", *lines]))
    data = load_dataset("folder", data_dir=photos, table=table)
    config = presets.resolve({**ANEW, "use_tracks": True})
    found = known_together(config, data.train.names, data)
    assert found.tracks is None
    kept = {tuple(sorted(data.train.keys[row] for row in pair)) for pair in found.apart}
    assert kept == {(f"{k:02}.png",) * 2 for k in range(12)}
    assert found.lines() == ["12 pairs were seen in one picture and are kept apart"]
    none = with_tracks(Answers(pairs(), pairs(), {}), None, (), ())
    assert not none


def test_a_track_with_two_boxes_of_one_picture_keeps_nothing_together():
    # An encounter of two animals: both boxes of p, and a picture of one of them.
    names = ("p#0", "p#1", "q", "r", "s")
    labels = Labels(identities=[-1] * 5, cameras=None, tracks=[4, 4, 4, 5, 5])
    nobody = Answers(pairs(), pairs(), {})
    found = with_tracks(nobody, labels, names, ("p", "p", "q", "r", "s"))
    assert found.tracks.tolist() == [0, 0, 0, 5, 5]
    assert found.apart.tolist() == [[0, 1]]
    assert found.lines()[0].startswith("1 tracks hold two boxes of one picture")
    answers = Answers(pairs(), pairs((4, 3)), {})
    with pytest.raises(InputError, match="keep 's' and 'r' apart, which are of one"):
        with_tracks(answers, labels, names, ("p", "p", "q", "r", "s"))
