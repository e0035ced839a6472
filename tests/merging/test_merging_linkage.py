"""Every criterion against SciPy's trees, and against its own definition."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage

from fgu_jax.errors import InputError
from fgu_jax.merging import merge_clusters, merge_with_heights
from fgu_jax.merging.linkage import cluster_distances

SCIPY = {
    "min": "single",
    "max": "complete",
    "average": "average",
    "centroid": "centroid",
    "median": "median",
}


def cut(tree, num_rows):
    """Labels by first appearance after the first rows of SciPy's tree."""
    members = [[point] for point in range(len(tree) + 1)]
    labels = np.arange(len(tree) + 1)
    for left, right in tree[:num_rows, :2].astype(int):
        members.append(members[left] + members[right])
        labels[members[-1]] = min(members[-1])
    return np.unique(labels, return_inverse=True)[1]


def points(seed, num_rows=300, num_columns=6, copies=0):
    rng = np.random.default_rng(seed)
    centres = 2 * rng.standard_normal((num_rows // 6, num_columns))
    rows = centres[rng.integers(0, len(centres), num_rows)]
    rows = (rows + rng.standard_normal(rows.shape)).astype(np.float32)
    if copies:
        chosen = rng.permutation(num_rows)[: 2 * copies]
        rows[chosen[:copies]] = rows[chosen[copies:]]
    return rows


@pytest.mark.parametrize("criterion", SCIPY)
@pytest.mark.parametrize("num_merges", [1, 15, 150, 240, 298])
def test_scipy_from_points(criterion, num_merges):
    features = points(num_merges)
    tree = linkage(features.astype(np.float64), SCIPY[criterion])
    labels, heights = merge_with_heights(
        features, np.arange(300), num_merges, criterion=criterion
    )
    assert np.array_equal(labels, cut(tree, num_merges))
    np.testing.assert_allclose(heights, tree[:num_merges, 2], rtol=1e-9)


def test_inversions_are_in_the_data():
    # Else the rows above would be sorted and a wrong order could not be seen.
    for criterion in ("centroid", "median"):
        _, heights = merge_with_heights(
            points(298), np.arange(300), 298, criterion=criterion
        )
        assert (np.diff(heights) < 0).any()


@pytest.mark.parametrize("criterion", sorted(set(SCIPY) - {"median"}))
@pytest.mark.parametrize("merged_before", [40, 150, 250])
def test_scipy_from_clusters_of_its_own_tree(criterion, merged_before):
    features = points(merged_before)
    tree = linkage(features.astype(np.float64), SCIPY[criterion])
    start = cut(tree, merged_before)
    for num_merges in (1, 20, 298 - merged_before):
        labels, heights = merge_with_heights(
            features, start, num_merges, criterion=criterion
        )
        rows = slice(merged_before, merged_before + num_merges)
        assert np.array_equal(labels, cut(tree, merged_before + num_merges))
        np.testing.assert_allclose(heights, tree[rows, 2], rtol=1e-9)


@pytest.mark.parametrize("criterion", SCIPY)
def test_scipy_with_many_exact_duplicates(criterion):
    features = points(7, copies=130)
    tree = linkage(features.astype(np.float64), SCIPY[criterion])
    num_copies = 300 - len(np.unique(features, axis=0))
    assert num_copies > 100
    for num_merges in (num_copies, num_copies + 20, 290):
        labels, heights = merge_with_heights(
            features, np.arange(300), num_merges, criterion=criterion
        )
        assert np.array_equal(labels, cut(tree, num_merges))
        assert (heights[:num_copies] == 0).all()
        np.testing.assert_allclose(heights, tree[:num_merges, 2], rtol=1e-9)


def slow_merge(features, labels, num_merges, criterion, size_penalty=0.0):
    """The closest pair by the definition, recomputed from the members each time."""
    rows = features.astype(np.float64)
    clusters = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    middles = [rows[members].mean(axis=0) for members in clusters]
    heights = []
    for _ in range(num_merges):
        best = (np.inf, 0, 0)
        for b in range(len(clusters)):
            for a in range(b):
                apart = rows[clusters[a]][:, None] - rows[clusters[b]][None]
                lengths = np.sqrt(np.square(apart).sum(axis=-1))
                distance = {
                    "min": lengths.min,
                    "max": lengths.max,
                    "average": lengths.mean,
                    "centroid": lambda a=a, b=b: np.linalg.norm(
                        rows[clusters[a]].mean(axis=0) - rows[clusters[b]].mean(axis=0)
                    ),
                    "median": lambda a=a, b=b: np.linalg.norm(middles[a] - middles[b]),
                }[criterion]()
                distance += size_penalty * (len(clusters[a]) + len(clusters[b]))
                best = min(best, (distance, a, b))
        height, a, b = best
        heights.append(height)
        clusters[a] = np.concatenate([clusters[a], clusters.pop(b)])
        middles[a] = (middles[a] + middles.pop(b)) / 2
    merged = np.empty(len(labels), int)
    for label, members in enumerate(clusters):
        merged[members] = label
    return merged, np.array(heights)


@pytest.mark.parametrize(
    ("criterion", "size_penalty"),
    [(criterion, 0.0) for criterion in SCIPY] + [("min", 0.01), ("min", 3.0)],
)
def test_definition_from_clusters_of_any_kind(criterion, size_penalty):
    features = points(8, num_rows=36, num_columns=3)
    # Clusters by chance, numbered by first appearance, from 1 to several members.
    labels = np.random.default_rng(0).integers(0, 15, 36)
    labels = np.argsort(np.argsort(np.unique(labels, return_index=True)[1]))[
        np.unique(labels, return_inverse=True)[1]
    ]
    num_merges = labels.max() - 1
    merged, heights = merge_with_heights(
        features, labels, num_merges, criterion=criterion, size_penalty=size_penalty
    )
    expected, expected_heights = slow_merge(
        features, labels, num_merges, criterion, size_penalty
    )
    assert np.array_equal(merged, expected)
    np.testing.assert_allclose(heights, expected_heights, rtol=1e-9)


def test_ties_go_to_the_pair_of_clusters_that_appears_first():
    rng = np.random.default_rng(1)
    for _ in range(10):
        grid = rng.integers(0, 4, (20, 2)).astype(np.float32)
        expected, heights = slow_merge(grid, np.arange(20), 12, "max")
        merged, measured = merge_with_heights(grid, np.arange(20), 12, criterion="max")
        assert np.array_equal(merged, expected)
        assert np.array_equal(measured, heights)
        # Whatever the numbers that the clusters came with.
        renamed = merge_clusters(grid, rng.permutation(20), 12, criterion="max")
        assert np.array_equal(renamed, merged)


def test_a_size_penalty_keeps_clusters_small():
    features = points(9)
    sizes = [
        np.bincount(merge_clusters(features, np.arange(300), 250, size_penalty=penalty))
        for penalty in (0.0, 1e-9, 10.0)
    ]
    assert np.array_equal(sizes[0], sizes[1])  # by two ways
    assert sizes[2].max() < sizes[0].max() / 3


@pytest.mark.parametrize("criterion", sorted(SCIPY))
def test_clusters_across_several_blocks(criterion):
    rng = np.random.default_rng(2)
    features = rng.standard_normal((2500, 3)).astype(np.float32)
    labels = np.sort(rng.integers(0, 5, 2500))
    labels[:3] = [4, 4, 0]
    matrix = cluster_distances(features, labels, criterion=criterion)
    assert np.array_equal(matrix, matrix.T)
    assert np.isinf(matrix.diagonal()).all()
    for a in range(5):
        for b in range(a):
            rows_a, rows_b = (features[labels == c].astype(float) for c in (a, b))
            lengths = np.linalg.norm(rows_a[:, None] - rows_b[None], axis=-1)
            squared = np.square(rows_a.mean(axis=0) - rows_b.mean(axis=0)).sum()
            expected = {
                "min": lengths.min(),
                "max": lengths.max(),
                "average": lengths.mean(),
            }
            np.testing.assert_allclose(
                matrix[a, b], expected.get(criterion, squared), rtol=1e-10
            )


def test_distances_keep_their_digits():
    # Rows far from the origin and from one another, two of them a hair apart.
    features = np.array([[1e6, 0], [1e6, 2**-10], [-3e6, 5], [-3e6, 5]], np.float32)
    matrix = cluster_distances(features, np.arange(4), criterion="max")
    assert matrix[0, 1] == 2**-10
    assert matrix[2, 3] == 0


def test_a_matrix_that_does_not_fit_is_refused_with_its_size():
    num_images = 100_000
    features = np.zeros((num_images, 1), np.float32)
    with pytest.raises(InputError, match=r"74\.51 GiB for 100,000 clusters, and 8\.00"):
        merge_clusters(
            features,
            np.arange(num_images),
            1,
            criterion="average",
            memory_limit=8 << 30,
        )
