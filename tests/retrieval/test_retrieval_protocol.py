"""The protocol of retrieval metrics, by hand, and what is refused."""

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fgu_jax.errors import InputError
from fgu_jax.retrieval import evaluate, search

# One query, five images: wrong, right, junk by camera, right, wrong.
HAND: dict[str, Any] = {
    "distances": [[0.1, 0.2, 0.3, 0.4, 0.5]],
    "query_ids": [4],
    "gallery_ids": [9, 4, 4, 4, 0],
    "query_cameras": [1],
    "gallery_cameras": [1, 2, 1, 3, 1],
}


def test_by_hand():
    metrics = evaluate(None, None, **HAND)
    assert metrics.cmc[:4] == (0.0, 1.0, 1.0, 1.0)
    assert len(metrics.cmc) == 50
    assert (metrics.rank1, metrics.rank5, metrics.rank10) == (0.0, 1.0, 1.0)
    # Ranks 2 and 3 once the same camera is gone: precisions 1/2 and 2/3.
    assert metrics.mAP == pytest.approx(float(Fraction(7, 12)), abs=1e-15)
    assert metrics.mINP == pytest.approx(2 / 3, abs=1e-15)
    assert (metrics.num_queries, metrics.num_skipped) == (1, 0)
    assert metrics.first_matches.tolist() == [2]
    old = evaluate(None, None, **HAND, average_precision="trapezoid")
    # (0/1 + 1/2) / 2 and (1/2 + 2/3) / 2, each a recall of 1/2.
    assert old.mAP == pytest.approx(float(Fraction(5, 12)), abs=1e-15)
    assert old.mINP == metrics.mINP


def test_trapezoid_starts_at_precision_one():
    metrics = evaluate(
        None,
        None,
        distances=[[1, 2, 3]],
        query_ids=[1],
        gallery_ids=[1, 2, 1],
        average_precision="trapezoid",
    )
    assert metrics.mAP == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2, abs=1e-15)


def test_without_cameras_nothing_is_left_out():
    free = {k: v for k, v in HAND.items() if "cameras" not in k}
    metrics = evaluate(None, None, **free)
    assert metrics.mAP == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3, abs=1e-15)


def test_junk_is_dropped_and_distractors_stay():
    common: dict[str, Any] = {"distances": [[1, 2, 3]], "query_ids": [5]}
    assert evaluate(None, None, **common, gallery_ids=[-1, -1, 5]).rank1 == 1
    assert evaluate(None, None, **common, gallery_ids=[0, -1, 5]).mAP == 0.5


def test_queries_without_a_match_are_reported_and_not_counted():
    metrics = evaluate(
        None,
        None,
        distances=[[1, 2], [1, 2], [2, 1], [1, 2]],
        query_ids=[7, 8, 9, -1],
        gallery_ids=[8, 9],
    )
    assert (metrics.num_queries, metrics.num_skipped) == (2, 2)
    assert metrics.rank1 == 1
    assert metrics.first_matches.tolist() == [0, 1, 1, 0]
    assert np.isnan(metrics.average_precisions).tolist() == [True, False, False, True]


def test_a_query_never_meets_itself():
    features = [[1.0, 0.0], [0.0, 1.0], [0.8, 0.1]]
    query = [features[0], [0.0, 0.9]]
    metrics = evaluate(
        query,
        features,
        query_ids=[1, 2],
        gallery_ids=[1, 2, 1],
        query_rows=[0, -1],
    )
    assert metrics.first_matches.tolist() == [1, 1]
    assert metrics.average_precisions.tolist() == [1, 1]
    alone = evaluate(
        query, features, query_ids=[1, 2], gallery_ids=[1, 2, 3], query_rows=[0, -1]
    )
    assert alone.num_skipped == 1


def test_itself_is_left_out_beside_junk_and_other_identities():
    matrix = np.array([[0.0, 1, 2, 3], [0, 2, 1, 3]])
    metrics = evaluate(
        None,
        None,
        distances=matrix,
        query_ids=[5, 5],
        gallery_ids=[-1, 3, 5, 5],
        query_rows=[1, 0],
    )
    # Row 1 has another identity and is left out all the same; row 0 is junk anyway.
    assert metrics.average_precisions.tolist() == [1.0, pytest.approx(5 / 6)]


GOOD: dict[str, Any] = {
    "query": [[1.0, 0.0], [0.0, 1.0]],
    "gallery": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
    "query_ids": [1, 2],
    "gallery_ids": [1, 2, 1],
}
MATRIX: dict[str, Any] = {
    "query": None,
    "gallery": None,
    "query_ids": [1, 2],
    "gallery_ids": [1, 2, 1],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": [[1.0, np.nan], [0, 1]]}, r"query row 0 holds NaN"),
        ({"gallery": [[1, 0], [0, 1], [np.inf, 1]]}, r"gallery row 2 holds NaN"),
        ({"query": [[1e300, 0], [0, 1]]}, r"query row 0 holds NaN or infinity"),
        ({"query": [[1, 0], [0, 0]]}, r"query row 1 has zero norm"),
        ({"gallery": np.zeros((3, 2))}, r"gallery row 0 \(and 2 more\) has zero norm"),
        ({"query": [[1, 0, 0], [0, 1, 0]]}, r"query is 3 wide and gallery 2"),
        ({"query": np.ones((2, 0))}, r"query has shape \(2, 0\)"),
        ({"gallery": np.ones(3)}, r"gallery has shape \(3,\)"),
        ({"query": [[1, 0], [1]]}, r"query has rows of different lengths"),
        ({"query": [["a", "b"], ["c", "d"]]}, r"query holds <U1"),
        ({"query": [[1j, 0], [0, 1]]}, r"query holds complex128"),
        ({"query_ids": [1]}, r"have 2 and 3 rows, query_ids and gallery_ids 1 and 3"),
        ({"gallery_ids": [1, 2]}, r"query_ids and gallery_ids 2 and 2"),
        ({"query_ids": [1.0, 2.0]}, r"query_ids holds float64"),
        ({"query_ids": [[1, 2]]}, r"query_ids has shape \(1, 2\)"),
        ({"query_ids": [8, 9]}, r"none of 2 queries has a match among 3"),
        ({"gallery_ids": [-1, -1, -1]}, r"none of 2 queries has a match among 0"),
        ({"query_cameras": [1, 1]}, r"query_cameras given and gallery_cameras not"),
        ({"gallery_cameras": [1, 1, 1]}, r"gallery_cameras given and query_cameras"),
        (
            {"query_cameras": [1], "gallery_cameras": [1, 1, 1]},
            r"query_cameras has shape \(1,\): give one number for each of the 2",
        ),
        (
            {"query_cameras": [1, 1], "gallery_cameras": [1, 1]},
            r"gallery_cameras has shape \(2,\)",
        ),
        ({"query_rows": [0, 3]}, r"query_rows reach from 0 to 3 .* 3 rows"),
        ({"query_rows": [-2, 0]}, r"query_rows reach from -2 to 0"),
        ({"query_rows": [0]}, r"query_rows has shape \(1,\)"),
        ({"average_precision": "voc"}, r"average_precision='voc'"),
        ({"query": None}, r"nothing to rank"),
        ({"gallery": None}, r"nothing to rank"),
        (
            MATRIX | {"distances": np.ones((2, 2))},
            r"\(2, 2\) and there are 2 query_ids and 3 gallery_ids",
        ),
        (MATRIX | {"distances": [[1, np.nan, 1]] * 2}, r"distances row 0 holds NaN"),
        (MATRIX | {"distances": [[1, 1, 1], [1, 1, np.inf]]}, r"distances row 1"),
        (MATRIX | {"distances": [["a"] * 3] * 2}, r"distances holds <U1"),
    ],
)
def test_bad_input_is_said_in_one_line(change, words):
    with pytest.raises(InputError, match=words) as caught:
        evaluate(**(GOOD | change))
    assert "\n" not in str(caught.value)


def test_all_bad_rows_are_counted():
    gallery = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    with pytest.raises(InputError, match=r"gallery row 1 \(and 1 more\) has zero norm"):
        evaluate(**(GOOD | {"gallery": gallery}))
    gallery[1] = 1
    with pytest.raises(InputError, match=r"gallery row 2 has zero norm"):
        evaluate(**(GOOD | {"gallery": gallery}))


def test_metrics_do_not_change():
    found = evaluate(**GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.mAP = 1.0


@pytest.mark.parametrize("k", [0, 4, -1, 1.5, "2"])
def test_search_refuses_a_k_that_it_cannot_give(k):
    with pytest.raises(InputError, match=r"of a gallery of 3 images.*1\.\.3"):
        search(GOOD["query"], GOOD["gallery"], k=k)
