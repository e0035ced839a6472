"""The minimum criterion against Kruskal's algorithm over all pairs in float64."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage

from fgu_jax.merging import merge_clusters, merge_with_heights
from fgu_jax.merging import single_linkage as single_linkage_module


def ranked_pairs(features):
    """All pairs i < j, sorted by (squared distance in float64, i, j)."""
    points = np.asarray(features, np.float32).astype(np.float64)
    i, j = np.triu_indices(len(points), 1)
    squared = np.empty(len(i))
    for start in range(0, len(i), 1 << 16):
        part = slice(start, start + (1 << 16))
        squared[part] = np.square(points[i[part]] - points[j[part]]).sum(axis=1)
    order = np.lexsort((j, i, squared))
    return squared[order], i[order], j[order]


def brute_force(features, labels, num_merges):
    """Merge the closest pair, ties by (i, j), by relabelling every row each time."""
    labels = np.array(labels)
    heights = []
    for squared, i, j in zip(*ranked_pairs(features), strict=True):
        if len(heights) == num_merges:
            break
        if labels[i] != labels[j]:
            labels[labels == labels[j]] = labels[i]
            heights.append(np.sqrt(squared))
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse], np.array(heights)


def assert_exact(features, labels, num_merges):
    merged, heights = merge_with_heights(features, labels, num_merges)
    expected, expected_heights = brute_force(features, labels, num_merges)
    assert np.array_equal(merged, expected)
    np.testing.assert_allclose(heights, expected_heights, rtol=1e-13)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([1, 2, 4, 30]),
    num_clusters=st.integers(3, 40),
    share=st.floats(0, 1),
)
def test_many_ties_and_duplicates(seed, spread, num_clusters, share):
    rng = np.random.default_rng(seed)
    features = rng.integers(-spread, spread + 1, (40, 3)).astype(np.float32)
    labels = rng.integers(0, num_clusters, 40)
    _, labels = np.unique(labels, return_inverse=True)
    assert_exact(features, labels, int(share * max(0, labels.max() - 1)))


def test_ties_go_by_row():
    # Every gap is 1: the pairs of lowest rows come first.
    features = np.arange(50, dtype=np.float32)[:, None]
    assert merge_clusters(features, np.arange(50), 3).tolist() == [0] * 4 + list(
        range(1, 47)
    )
    # Copies too: (0, 3) and (0, 4) come before (1, 2).
    copies = np.array([5, 7, 7, 5, 5, 9], np.float32)[:, None]
    assert merge_clusters(copies, np.arange(6), 1).tolist() == [0, 1, 2, 0, 3, 4]
    assert merge_clusters(copies, np.arange(6), 2).tolist() == [0, 1, 2, 0, 0, 3]
    assert merge_clusters(copies, np.arange(6), 3).tolist() == [0, 1, 1, 0, 0, 2]


@pytest.mark.parametrize("num_merges", [1, 70, 749, 1100, 1400])
def test_several_blocks(num_merges):
    rng = np.random.default_rng(num_merges)
    grid = rng.integers(0, 7, (1500, 5)).astype(np.float32)
    assert_exact(grid, np.arange(1500), num_merges)
    # Half of the clusters merged before, by chance: pairs lie far apart.
    pairs = rng.permutation(1500) // 2
    assert_exact(grid, pairs, num_merges // 2)


def test_near_ties_that_float32_products_mistake():
    rng = np.random.default_rng(0)
    num_pairs, num_columns = 200, 64
    # Pairs of rows whose squared distances differ by a few parts in a million, far
    # from the origin, where a float32 product is a thousand times coarser.
    base = 40 * rng.standard_normal((num_pairs, num_columns))
    step = rng.standard_normal((num_pairs, num_columns))
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    step *= 1 + 3e-6 * rng.permutation(num_pairs)[:, None]
    features = np.concatenate([base, base + step]).astype(np.float32)
    features = features[rng.permutation(2 * num_pairs)]

    norms = np.square(features).sum(axis=1)
    products = norms[:, None] + norms - 2 * features @ features.T
    i, j = np.triu_indices(2 * num_pairs, 1)
    naive = np.argsort(products[i, j])[: num_pairs // 2]
    _, true_i, true_j = (column[: num_pairs // 2] for column in ranked_pairs(features))
    wrong = set(zip(i[naive], j[naive], strict=True)) - set(
        zip(true_i, true_j, strict=True)
    )
    assert len(wrong) > num_pairs // 10, "the data do not tell a naive way apart"

    assert_exact(features, np.arange(2 * num_pairs), num_pairs // 2)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1e-38, 0), (1e-20, 1e-14), (1, 0), (1, 1e5), (1e-4, 100), (1e30, 1e36)],
)
def test_any_scale_and_offset(scale, offset):
    rng = np.random.default_rng(1)
    features = scale * rng.standard_normal((120, 16)) + offset
    for num_merges in (6, 60, 110):
        assert_exact(features.astype(np.float32), np.arange(120), num_merges)


def test_largest_numbers_of_float32():
    features = np.array([[-3e38], [3e38], [2.9e38], [-2e38], [0]], np.float32)
    assert merge_clusters(features, np.arange(5), 2).tolist() == [0, 1, 1, 0, 2]


def test_rows_of_very_different_length():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((150, 8)) * 10.0 ** rng.integers(-9, 9, (150, 1))
    for num_merges in (10, 100, 148):
        assert_exact(features.astype(np.float32), np.arange(150), num_merges)


def test_float64_is_cast_to_float32():
    # In float64 the first pair is the closer one; in float32 both distances are 1.
    features = np.array([[10.0], [11.0 + 1e-12], [0.0], [1.0]])[[2, 3, 0, 1]]
    features[1] += 1e-9
    assert merge_clusters(features, np.arange(4), 1).tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("num_kinds", [1, 3, 40])
def test_nearly_all_rows_are_copies(num_kinds):
    rng = np.random.default_rng(num_kinds)
    kinds = rng.standard_normal((num_kinds, 4)).astype(np.float32)
    features = kinds[rng.integers(0, num_kinds, 400)]
    for num_merges in (20, 300, 398):
        assert_exact(features, np.arange(400), num_merges)


def test_memory_grows_with_the_rows_alone():
    rng = np.random.default_rng(3)
    num_images = 4000
    distinct = rng.standard_normal((num_images, 4)).astype(np.float32)
    copies = np.tile(distinct[:20], (num_images // 20, 1))
    for features in (distinct, copies, 0 * distinct):
        for num_merges in (300, num_images - 2):
            tracemalloc.start()
            merge_clusters(features, np.arange(num_images), num_merges)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < num_images**2, "a byte a pair"


def test_candidates_are_thinned_as_they_come(monkeypatch):
    # One-dimensional rows far closer than the margin: no bound rules a pair out.
    rng = np.random.default_rng(4)
    features = np.full((260, 3), 1e-7) * rng.integers(0, 90, (260, 1))
    features[0] = 1e4
    monkeypatch.setattr(single_linkage_module, "_MOST_PENDING", 64)
    for num_merges in (30, 255):
        assert_exact(features.astype(np.float32), np.arange(260), num_merges)


@pytest.mark.parametrize("num_merges", [1, 40, 200, 398])
@pytest.mark.parametrize("copies", [0, 120])
def test_scipy(num_merges, copies):
    rng = np.random.default_rng(5)
    features = rng.standard_normal((400, 10)).astype(np.float32)
    features[rng.permutation(400)[:copies]] = features[0]
    tree = linkage(features.astype(np.float64), "single")
    _, heights = merge_with_heights(features, np.arange(400), num_merges)
    np.testing.assert_allclose(heights, tree[:num_merges, 2], rtol=1e-12, atol=1e-12)
