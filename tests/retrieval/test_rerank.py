"""Re-ranking against a dense transcription of the paper, by hand, and invariants."""

import importlib
import math
import pathlib
import tracemalloc
from typing import Any

import numpy as np
import pytest

from fgu_jax.errors import InputError
from fgu_jax.retrieval import distances as blocks
from fgu_jax.retrieval import evaluate, reciprocal, rerank

# The package's name for it is the function.
module = importlib.import_module("fgu_jax.retrieval.rerank")


def _dense(query, gallery, k1=20, k2=6, lambda_value=0.3):
    """Zhong et al. 2017 as it is printed, in N x N matrices of float64."""
    x = np.concatenate([query, gallery]).astype(np.float64)
    count, queries = len(x), len(query)
    squared = np.stack([np.square(x - each).sum(axis=1) for each in x])
    largest = squared.max(axis=1, keepdims=True)
    original = squared / np.where(largest > 0, largest, 1)
    own_first = original.copy()
    np.fill_diagonal(own_first, -1)
    order = np.argsort(own_first, axis=1, kind="stable")

    def neighbours(k):
        near = np.zeros((count, count), bool)
        np.put_along_axis(near, order[:, : k + 1], True, axis=1)
        return near & near.T

    wide, narrow = neighbours(k1), neighbours(int(np.around(k1 / 2)))
    vectors = np.zeros((count, count))
    for i in range(count):
        members = wide[i].copy()
        for j in np.flatnonzero(wide[i]):
            if (narrow[j] & wide[i]).sum() > 2 / 3 * narrow[j].sum():
                members |= narrow[j]
        vectors[i, members] = np.exp(-original[i, members])
    vectors /= vectors.sum(axis=1, keepdims=True)
    vectors = np.stack([vectors[near[:k2]].mean(axis=0) for near in order])
    jaccard = np.empty((queries, count))
    for i in range(queries):
        used = np.flatnonzero(vectors[i])
        least = np.minimum(vectors[i, used][None, :], vectors[:, used]).sum(axis=1)
        most = vectors[i].sum() + vectors.sum(axis=1) - least
        jaccard[i] = 1 - least / most
    mixed = (1 - lambda_value) * jaccard + lambda_value * original[:queries]
    return mixed[:, queries:]


def _people(count, each, width, spread, seed=0):
    rng = np.random.default_rng(seed)
    people = np.repeat(rng.standard_normal((count, width)), each, axis=0)
    x = people + spread * rng.standard_normal(people.shape)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return rng.permutation(x.astype(np.float32))


def test_by_hand():
    """A query, an image at 1 and one at 10 on a line; k1 = 1, so R_1/2 adds nothing."""
    found = rerank([[0.0, 1.0]], [[1.0, 1.0], [10.0, 1.0]], k1=1, k2=1)
    # V of the query on (itself, the image), and of the image on (itself, the query).
    mine = 1 / (1 + math.exp(-1 / 100))
    its = 1 / (1 + math.exp(-1 / 81))
    least = min(mine, 1 - its) + min(1 - mine, its)
    jaccard = 1 - least / (2 - least)
    assert found[0, 0] == pytest.approx(0.7 * jaccard + 0.3 / 100, abs=1e-7)
    assert found[0, 1] == 1
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"k2": 1},
        {"k2": 2, "lambda_value": 0.0},
        {"lambda_value": 1.0},
        {"k1": 1, "k2": 1},
        {"k1": 2, "k2": 3},
        {"k1": 5, "k2": 3},  # 2.5 is rounded to 2,
        {"k1": 7, "k2": 3},  # and 3.5 to 4
        {"k1": 9, "k2": 30},
        {"k1": 60, "k2": 10},
    ],
)
@pytest.mark.parametrize("spread", [0.3, 0.7, 1.5])
def test_equals_the_dense_form_on_300(settings, spread):
    x = _people(30, 10, 16, spread)
    found = rerank(x[:60], x[60:], **settings)
    np.testing.assert_allclose(
        found, _dense(x[:60], x[60:], **settings), rtol=0, atol=1e-6
    )


def test_equals_the_dense_form_on_3000():
    x = _people(250, 12, 64, 1.0)
    found = rerank(x[:200], x[200:])
    np.testing.assert_allclose(found, _dense(x[:200], x[200:]), rtol=0, atol=1e-6)


def test_takes_every_image_for_a_neighbour():
    x = _people(4, 10, 8, 1.0)
    found = rerank(x[:5], x[5:], k1=39, k2=40)
    expected = _dense(x[:5], x[5:], k1=39, k2=40)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_duplicates_leave_each_image_its_own_nearest():
    x = _people(30, 10, 16, 1.0)
    x[40:80] = x[5]  # more than any list holds
    x[100:104] = x[99]
    x[290] = x[0]
    found = rerank(x[:60], x[60:])
    np.testing.assert_allclose(found, _dense(x[:60], x[60:]), rtol=0, atol=1e-6)


def test_identical_images_are_at_no_distance():
    found = rerank(np.ones((2, 3)), np.ones((4, 3)), k1=5, k2=6)
    np.testing.assert_array_equal(found, np.zeros((2, 4)))


@pytest.mark.parametrize("factor", [2.0**-70, 2.0**70])
def test_scale_changes_nothing(factor):
    x = _people(20, 10, 16, 0.7)
    expected = rerank(x[:40], x[40:])
    np.testing.assert_array_equal(rerank(x[:40] * factor, x[40:] * factor), expected)


def test_result_is_a_fraction():
    x = _people(20, 10, 16, 0.7)
    x[40:80] = x[:40]
    for lambda_value in (0, 0.3, 1):
        found = rerank(x[:40], x[40:], k1=5, k2=1, lambda_value=lambda_value)
        assert 0 <= found.min() <= found.max() <= 1


def test_size_of_the_blocks_changes_nothing(monkeypatch):
    x = _people(20, 10, 16, 0.7)
    expected = rerank(x[:70], x[70:])
    monkeypatch.setattr(blocks, "_BLOCK", 1)
    monkeypatch.setattr(reciprocal, "_MARKS", 1)
    monkeypatch.setattr(module, "_WORK", 1)
    np.testing.assert_allclose(rerank(x[:70], x[70:]), expected, rtol=0, atol=1e-6)


def test_order_of_the_gallery_changes_nothing():
    x = _people(20, 10, 16, 0.7)
    order = np.random.default_rng(1).permutation(160)
    found = rerank(x[:40], x[40:][order])
    np.testing.assert_allclose(found, rerank(x[:40], x[40:])[:, order], atol=1e-6)


def test_lambda_one_is_the_original_distance():
    x = _people(20, 10, 16, 0.7)
    found = rerank(x[:40], x[40:], lambda_value=1)
    squared = np.square(x[:40, None].astype(np.float64) - x[None]).sum(axis=2)
    expected = squared[:, 40:] / squared.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_it_helps_and_evaluate_takes_it():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(40), 10)
    x = rng.standard_normal((40, 16))[ids] + 1.1 * rng.standard_normal((400, 16))
    query, gallery = x[::10], np.delete(x, np.s_[::10], axis=0)
    labels: dict[str, Any] = {
        "query_ids": ids[::10],
        "gallery_ids": np.delete(ids, np.s_[::10]),
    }
    before = evaluate(query, gallery, **labels)
    matrix = rerank(query, gallery, k1=9, k2=4)
    after = evaluate(None, None, distances=matrix, **labels)
    assert after.mAP > before.mAP + 0.02


def test_no_square_matrix_is_held(monkeypatch):
    x = _people(400, 10, 8, 0.3)
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 16)
    monkeypatch.setattr(reciprocal, "_MARKS", 1 << 16)
    monkeypatch.setattr(module, "_WORK", 1 << 16)
    tracemalloc.start()
    rerank(x[:100], x[100:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 4 / 2


def test_progress_comes_to_its_end():
    x = _people(10, 10, 8, 0.3)
    seen = []
    rerank(x[:20], x[20:], progress=lambda *each: seen.append(each))
    assert seen == [(100, 100, "neighbours"), (20, 20, "re-ranking")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k1": 4}, r"k1=4 of 4 images in all: give a whole number, 1\.\.3"),
        ({"k1": 0}, r"k1=0 of 4 images"),
        ({"k1": 1.5}, r"k1=1\.5 of 4 images"),
        ({"k2": 5}, r"k2=5 of 4 images in all: give a whole number, 1\.\.4"),
        ({"k2": 0}, r"k2=0 of 4 images"),
        ({"lambda_value": 1.1}, r"lambda_value=1\.1: give 0\.\.1"),
        ({"lambda_value": -0.1}, r"lambda_value=-0\.1"),
        ({"lambda_value": float("nan")}, r"lambda_value=nan"),
        ({"query": [[np.nan, 1.0]]}, r"query row 0 holds NaN"),
        ({"query": [[0.0, 0.0]]}, r"query row 0 has zero norm"),
        ({"query": [[1.0, 0.0, 0.0]]}, r"query is 3 wide and gallery 2"),
    ],
)
def test_bad_input_is_said_in_one_line(change, words):
    good: dict[str, Any] = {
        "query": [[1.0, 0.0]],
        "gallery": [[1.0, 0], [0, 1], [1, 1]],
        "k1": 2,
    }
    with pytest.raises(InputError, match=words) as caught:
        rerank(**(good | {"k2": 2} | change))
    assert "\n" not in str(caught.value)


REFERENCE = (
    pathlib.Path(__file__).resolve().parents[3]
    / "shared/reference/osnet_x0_25_market1501.npz"
)


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"needs {REFERENCE.name}")
def test_figures_on_real_features():
    """Measured when written, beside torchreid: 7e-3 apart in 2 of 10^6 at near-ties."""
    data = np.load(REFERENCE)
    query, gallery = data["query"].astype("f4"), data["gallery"].astype("f4")
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    labels: dict[str, Any] = {name: data[name] for name in data.files if "_" in name}
    metrics = evaluate(None, None, distances=rerank(query, gallery), **labels)
    figures = metrics.rank1, metrics.mAP, metrics.mINP
    np.testing.assert_allclose(figures, (0.934382, 0.897306, 0.763803), atol=2e-6)
