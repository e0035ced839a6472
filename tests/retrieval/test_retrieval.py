"""Metrics and search against sorted brute force, and on real features."""

import pathlib
import tracemalloc
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.errors import InputError
from fgu_jax.retrieval import distances as blocks
from fgu_jax.retrieval import evaluate, search

FIGURES = ("rank1", "rank5", "rank10", "mAP", "mINP")


def _numbers(*shape):
    """The same numbers in -1..1 on every machine and with every NumPy (splitmix64)."""
    z = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return ((z ^ (z >> np.uint64(31))) / 2.0**63 - 1).reshape(shape)


def _true_distances(query, gallery):
    query, gallery = np.asarray(query, np.float64), np.asarray(gallery, np.float64)
    return np.stack([np.square(gallery - each).sum(axis=1) for each in query])


def _brute(matrix, query_ids, gallery_ids, query_cameras=None, gallery_cameras=None):
    """Every figure from a stable sort of whole rows, walked image by image."""
    found = []
    for i, row in enumerate(matrix):
        right = []
        for j in np.argsort(row, kind="stable"):
            same = gallery_ids[j] == query_ids[i]
            camera = query_cameras is not None and (
                query_cameras[i] == gallery_cameras[j]
            )
            if gallery_ids[j] == -1 or (same and camera):
                continue
            right.append(bool(same))
        total = sum(right)
        if not total:
            continue
        hits, trapezoid, seen, before = 0.0, 0.0, 0, 1.0
        for position, good in enumerate(right, 1):
            seen += good
            precision = seen / position
            if good:
                hits += precision / total
                trapezoid += (before + precision) / 2 / total
                last = position
            before = precision
        first = right.index(True)
        found.append((first < 1, first < 5, first < 10, hits, total / last, trapezoid))
    return np.mean(found or np.zeros((1, 6)), axis=0), len(found)


def _check(metrics, expected, counted, trapezoid=False):
    figures = [getattr(metrics, name) for name in FIGURES]
    wanted = expected[:5].copy()
    if trapezoid:
        wanted[3] = expected[5]
    np.testing.assert_allclose(figures, wanted, rtol=0, atol=1e-12)
    assert metrics.num_queries == counted


@st.composite
def _problems(draw):
    queries, width = draw(st.integers(1, 6)), draw(st.integers(1, 25))
    dim = draw(st.integers(1, 3))

    def ints(shape, low, high):
        count = int(np.prod(shape))
        drawn = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        return np.array(drawn).reshape(shape)

    query, gallery = ints((queries, dim), -2, 3), ints((width, dim), -2, 3)
    query[~query.any(axis=1)] = 1
    gallery[~gallery.any(axis=1)] = 1
    labels = (
        ints((queries,), 0, 3),
        ints((width,), -1, 3),
        ints((queries,), 0, 1),
        ints((width,), 0, 1),
    )
    return query, gallery, labels, draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(_problems())
def test_equals_a_stable_sort_with_many_ties(problem):
    query, gallery, labels, cameras = problem
    names = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    given_labels = dict(zip(names, labels, strict=True))
    if not cameras:
        given_labels |= {"query_cameras": None, "gallery_cameras": None}
    matrix = _true_distances(query, gallery)
    expected, counted = _brute(matrix, **given_labels)
    if not counted:
        with pytest.raises(InputError, match="has a match"):
            evaluate(query, gallery, **given_labels)
        return
    hits = evaluate(query, gallery, **given_labels)
    _check(hits, expected, counted)
    old = evaluate(query, gallery, **given_labels, average_precision="trapezoid")
    _check(old, expected, counted, trapezoid=True)
    for kind in (np.float64, np.float32, np.float16, np.int16, np.int64):
        ready = evaluate(None, None, distances=matrix.astype(kind), **given_labels)
        assert ready == hits
    assert hits.num_skipped == len(query) - counted


def _crowd(near, seed=0, queries=70, width=400, dim=24, people=30):
    """Features that lie within ``near`` of one point, where float32 is blind."""
    rng = np.random.default_rng(seed)
    point = rng.standard_normal(dim)
    x = point + near * rng.standard_normal((queries + width, dim))
    ids = rng.integers(0, people, queries + width)
    cameras = rng.integers(0, 3, queries + width)
    x = x.astype(np.float32)
    labels: dict[str, Any] = {
        "query_ids": ids[:queries],
        "gallery_ids": ids[queries:],
        "query_cameras": cameras[:queries],
        "gallery_cameras": cameras[queries:],
    }
    return x[:queries], x[queries:], labels


@pytest.mark.parametrize("near", [1.0, 1e-2, 1e-4, 1e-6])
def test_order_is_that_of_float64(near, monkeypatch):
    query, gallery, labels = _crowd(near)
    # One far image keeps the bound of the error wide for all the others.
    gallery[0] *= 1000
    expected, counted = _brute(_true_distances(query, gallery), **labels)
    _check(evaluate(query, gallery, **labels), expected, counted)
    monkeypatch.setattr(blocks, "_BLOCK", 1)
    monkeypatch.setattr(blocks, "_TERMS", 5)
    _check(evaluate(query, gallery, **labels), expected, counted)


@pytest.mark.parametrize("dim", [512, 513, 1100])
def test_wide_features_are_multiplied_in_parts(dim):
    query, gallery, labels = _crowd(1e-3, seed=9, dim=dim)
    gallery[0] *= 1000
    expected, counted = _brute(_true_distances(query, gallery), **labels)
    _check(evaluate(query, gallery, **labels), expected, counted)
    indices, _ = search(query, gallery, k=5)
    order = np.argsort(_true_distances(query, gallery), axis=1, kind="stable")
    np.testing.assert_array_equal(indices, order[:, :5])


def test_float32_alone_would_not_do():
    """The problem above is one: plain products give another order."""
    query, gallery, labels = _crowd(1e-4)
    plain = np.square(gallery).sum(axis=1)[None, :] - 2 * query @ gallery.T
    expected, _ = _brute(_true_distances(query, gallery), **labels)
    assert abs(evaluate(None, None, distances=plain, **labels).mAP - expected[3]) > 1e-3


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_scale_changes_nothing(scale):
    query, gallery, labels = _crowd(1.0, seed=1)
    expected = evaluate(query, gallery, **labels)
    factor = np.float32(2.0 ** round(np.log2(scale)))
    assert evaluate(query * factor, gallery * factor, **labels) == expected


def test_differences_that_underflow_in_float32():
    query, gallery, labels = _crowd(1.0, seed=7)
    query, gallery = query * np.float32(1e-22), gallery * np.float32(1e-22)
    query[:, 0] = gallery[:, 0] = 1
    expected, counted = _brute(_true_distances(query, gallery), **labels)
    _check(evaluate(query, gallery, **labels), expected, counted)


@pytest.mark.parametrize("factor", [2.0**-90, 2.0**90])
def test_query_and_gallery_of_unlike_scale(factor):
    query, gallery, labels = _crowd(1.0, seed=8)
    query = query * np.float32(factor)
    expected, counted = _brute(_true_distances(query, gallery), **labels)
    _check(evaluate(query, gallery, **labels), expected, counted)


def test_order_of_the_gallery_changes_nothing_without_ties():
    query, gallery, labels = _crowd(1.0, seed=2)
    expected = evaluate(query, gallery, **labels)
    order = np.random.default_rng(0).permutation(len(gallery))
    moved = {k: v[order] if "gallery" in k else v for k, v in labels.items()}
    assert evaluate(query, gallery[order], **moved) == expected


def test_identical_features_rank_by_row():
    width = 40
    same = np.ones((width, 3))
    ids = np.arange(width)
    metrics = evaluate(same[:5], same, query_ids=[0, 1, 9, 10, 39], gallery_ids=ids)
    assert metrics.first_matches.tolist() == [1, 2, 10, 11, 40]


def test_takes_jax_arrays_and_half_precision():
    query, gallery, labels = _crowd(1.0, seed=3)
    wanted = evaluate(query.astype(np.float16), gallery.astype(np.float16), **labels)
    device: dict[str, Any] = {k: jnp.asarray(v, jnp.int32) for k, v in labels.items()}
    half = jnp.asarray(query, jnp.float16), jnp.asarray(gallery, jnp.float16)
    assert evaluate(*half, **device) == wanted
    matrix = jnp.asarray(_true_distances(query, gallery), jnp.bfloat16)
    stored = np.asarray(matrix).astype(np.float32)
    got = evaluate(None, None, distances=matrix, **labels)
    assert got == evaluate(None, None, distances=stored, **labels)


def test_inputs_are_left_as_they_are():
    query, gallery, labels = _crowd(1.0, seed=4)
    matrix = _true_distances(query, gallery)
    copies = query.copy(), gallery.copy(), matrix.copy()
    evaluate(query, gallery, **labels)
    evaluate(None, None, distances=matrix, **labels)
    for now, before in zip((query, gallery, matrix), copies, strict=True):
        np.testing.assert_array_equal(now, before)


def test_the_whole_matrix_is_never_held(monkeypatch):
    query, gallery, labels = _crowd(1.0, queries=1000, width=5000, people=200)
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 16)
    tracemalloc.start()
    evaluate(query, gallery, **labels)
    search(query, gallery, k=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < query.shape[0] * gallery.shape[0] * 4 / 2


def test_progress_comes_to_its_end(monkeypatch):
    query, gallery, labels = _crowd(1.0)
    monkeypatch.setattr(blocks, "_BLOCK", 1)
    seen = []
    evaluate(query, gallery, **labels, progress=lambda *each: seen.append(each))
    search(query, gallery, k=1, progress=lambda *each: seen.append(each))
    assert seen == [
        (done, 70, what) for what in ("evaluate", "search") for done in (32, 64, 70)
    ]


# rank-1, rank-5, rank-10, mAP, mINP, and mAP by the trapezoid.
KNOWN = (
    0.60000000000000,
    0.84166666666667,
    0.91666666666667,
    0.45445072377093,
    0.20633033240122,
    0.43558899169753,
)


def test_known_figures():
    """Computed once by ``_brute``; committed so that nothing drifts unseen."""
    x = _numbers(900, 12)
    person, camera = np.arange(900) % 60, np.arange(900) // 60 % 4
    features = (x[:60][person] + x).astype(np.float32)
    labels: dict[str, Any] = {
        "query_ids": person[:120],
        "gallery_ids": person[120:],
        "query_cameras": camera[:120],
        "gallery_cameras": camera[120:],
    }
    metrics = evaluate(features[:120], features[120:], **labels)
    figures = [getattr(metrics, name) for name in FIGURES]
    np.testing.assert_allclose(figures, KNOWN[:5], rtol=0, atol=1e-9)
    old: dict[str, Any] = {"average_precision": "trapezoid"}
    metrics = evaluate(features[:120], features[120:], **labels, **old)
    assert metrics.mAP == pytest.approx(KNOWN[5], abs=1e-9)


REFERENCE = (
    pathlib.Path(__file__).resolve().parents[3]
    / "shared/reference/osnet_x0_25_market1501.npz"
)


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"needs {REFERENCE.name}")
def test_figures_that_other_evaluators_agree_on():
    data = np.load(REFERENCE)
    query, gallery = (
        data[name].astype(np.float32)
        / np.linalg.norm(data[name].astype(np.float32), axis=1, keepdims=True)
        for name in ("query", "gallery")
    )
    labels: dict[str, Any] = {k: data[k] for k in data.files if "_" in k}
    metrics = evaluate(query, gallery, **labels)
    figures = [getattr(metrics, name) for name in FIGURES]
    expected = [0.914786, 0.969121, 0.980404, 0.773955, 0.437320]
    np.testing.assert_allclose(figures, expected, rtol=0, atol=1e-5)
    old = evaluate(query, gallery, **labels, average_precision="trapezoid")
    assert old.mAP == pytest.approx(0.766770, abs=1e-5)
    assert (metrics.num_queries, metrics.num_skipped) == (3368, 0)


@settings(max_examples=200, deadline=None)
@given(_problems(), st.data())
def test_search_equals_a_stable_sort(problem, data):
    query, gallery, _, _ = problem
    k = data.draw(st.integers(1, len(gallery)))
    matrix = _true_distances(query, gallery)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    indices, found = search(query, gallery, k=k)
    np.testing.assert_array_equal(indices, order)
    expected = np.sqrt(np.take_along_axis(matrix, order, axis=1)).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    assert (indices.dtype, found.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("near", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("k", [1, 10, 400])
def test_search_is_exact_where_float32_is_blind(near, k, monkeypatch):
    query, gallery, _ = _crowd(near, seed=5)
    matrix = _true_distances(query, gallery)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(search(query, gallery, k=k)[0], order)
    monkeypatch.setattr(blocks, "_BLOCK", 1)
    np.testing.assert_array_equal(search(query, gallery, k=k)[0], order)


def test_search_where_the_gallery_is_cut_into_groups():
    """Wide enough for groups of several columns, sorted by identity as folders are."""
    rng = np.random.default_rng(6)
    people = rng.standard_normal((70, 16))
    gallery = np.repeat(people, 53, axis=0) + 0.2 * rng.standard_normal((3710, 16))
    gallery = gallery.astype(np.float32)
    query = people[:40].astype(np.float32)
    order = np.argsort(_true_distances(query, gallery), axis=1, kind="stable")
    for k in (1, 30, 60):
        np.testing.assert_array_equal(search(query, gallery, k=k)[0], order[:, :k])
