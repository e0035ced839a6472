"""What a caller of the merging meets: a worked example, its invariants, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.errors import InputError
from fgu_jax.merging import CRITERIA, merge_clusters, merge_with_heights

# Six points on a line, gaps 1, 1.5, 4, 2, 9.
LINE = np.array([[0.0], [1.0], [2.5], [6.5], [8.5], [17.5]], np.float32)


def assert_dense_by_appearance(labels):
    assert labels.dtype == np.int32
    seen = list(dict.fromkeys(labels.tolist()))
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize(
    ("criterion", "num_merges", "labels", "heights"),
    [
        ("min", 2, [0, 0, 0, 1, 2, 3], [1.0, 1.5]),
        ("min", 4, [0, 0, 0, 0, 0, 1], [1.0, 1.5, 2.0, 4.0]),
        # {0, 1} to 2.5: largest 2.5, mean of 2.5 and 1.5 is 2, mean point 0.5 is 2 off.
        ("max", 2, [0, 0, 1, 2, 2, 3], [1.0, 2.0]),
        ("max", 3, [0, 0, 0, 1, 1, 2], [1.0, 2.0, 2.5]),
        ("average", 2, [0, 0, 0, 1, 2, 3], [1.0, 2.0]),
        ("centroid", 2, [0, 0, 0, 1, 2, 3], [1.0, 2.0]),
        # {0, 1, 2.5}: mean 7/6, but mid-point (0.5 + 2.5) / 2; {6.5, 8.5}: 7.5.
        ("centroid", 4, [0, 0, 0, 0, 0, 1], [1.0, 2.0, 2.0, 7.5 - 3.5 / 3]),
        ("median", 4, [0, 0, 0, 0, 0, 1], [1.0, 2.0, 2.0, 6.0]),
    ],
)
def test_worked_example(criterion, num_merges, labels, heights):
    merged, measured = merge_with_heights(
        LINE, np.arange(6), num_merges, criterion=criterion
    )
    assert merged.tolist() == labels
    assert measured.dtype == np.float64
    np.testing.assert_allclose(measured, heights, rtol=1e-12)
    assert np.array_equal(
        merge_clusters(LINE, np.arange(6), num_merges, criterion=criterion), merged
    )


@pytest.mark.parametrize("criterion", CRITERIA)
def test_no_merge_only_renumbers(criterion):
    merged, heights = merge_with_heights(
        LINE, [2, 0, 2, 1, 0, 3], 0, criterion=criterion
    )
    assert merged.tolist() == [0, 1, 0, 2, 1, 3]
    assert len(heights) == 0
    assert np.array_equal(merge_clusters(LINE, merged, 0, criterion=criterion), merged)


@settings(max_examples=40, deadline=None)
@given(
    criterion=st.sampled_from(CRITERIA),
    seed=st.integers(0, 2**32 - 1),
    num_merges=st.integers(0, 21),
    sizes=st.integers(1, 4),
)
def test_any_order_of_the_rows_gives_the_same_partition(
    criterion, seed, num_merges, sizes
):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((24, 3)).astype(np.float32)
    _, labels = np.unique(rng.integers(0, 24 // sizes, 24), return_inverse=True)
    num_clusters = labels.max() + 1
    num_merges = min(num_merges, num_clusters - 2)
    order = rng.permutation(24)

    merged = merge_clusters(features, labels, num_merges, criterion=criterion)
    permuted = merge_clusters(
        features[order], labels[order], num_merges, criterion=criterion
    )

    assert_dense_by_appearance(merged)
    assert_dense_by_appearance(permuted)
    assert merged.max() + 1 == num_clusters - num_merges
    joined = merged[:, None] == merged
    assert np.array_equal(joined[np.ix_(order, order)], permuted[:, None] == permuted)
    assert joined[labels[:, None] == labels].all(), "a cluster came apart"


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("merge", [merge_clusters, merge_with_heights])
def test_two_clusters_are_left_and_said(criterion, merge):
    with pytest.warns(UserWarning, match="stopped at 2 after 4 merges") as caught:
        merge(LINE, np.arange(6), 5, criterion=criterion)
    assert caught[0].filename == __file__


def test_one_cluster_stays_one():
    assert merge_clusters(LINE, np.zeros(6, int), 0).tolist() == [0] * 6
    with pytest.warns(UserWarning, match="stopped at 1 after 0 merges"):
        assert merge_clusters(LINE, np.zeros(6, int), 1).tolist() == [0] * 6


@pytest.mark.parametrize("criterion", CRITERIA)
def test_many_kinds_of_array_are_taken(criterion):
    labels = np.arange(6)
    expected = merge_clusters(LINE, labels, 2, criterion=criterion)
    for features, given_labels in [
        (LINE.astype(np.float64), labels.astype(np.int8)),
        (LINE.astype(np.float16), labels.tolist()),
        ((2 * LINE).astype(np.int64), jnp.asarray(labels)),
        (jnp.asarray(LINE, jnp.bfloat16), labels.astype(np.uint64)),
        (np.asfortranarray(np.hstack([LINE, 0 * LINE])), labels),
    ]:
        merged = merge_clusters(features, given_labels, 2, criterion=criterion)
        assert np.array_equal(merged, expected)


def test_input_is_left_as_it_was():
    features, labels = LINE.copy(), np.arange(6)
    for criterion in CRITERIA:
        merge_clusters(features, labels, 3, criterion=criterion)
    assert np.array_equal(features, LINE)
    assert np.array_equal(labels, np.arange(6))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_progress_runs_to_its_end(criterion):
    calls = []
    merge_clusters(
        LINE, np.arange(6), 3, criterion=criterion, progress=lambda *c: calls.append(c)
    )
    last = {what: (done, total) for done, total, what in calls}
    assert last
    assert all(done == total for done, total in last.values())


def _with(value, row=3):
    features = LINE.astype(np.float64)
    features[row] = value
    return features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": LINE[:, 0]}, r"features are \[6\]"),
        ({"features": LINE[:0], "labels": []}, r"features are \[0, 1\]"),
        ({"features": LINE[:, :0]}, r"features are \[6, 0\]"),
        ({"features": LINE.astype(complex)}, "features are complex128"),
        ({"features": LINE > 1}, "features are bool"),
        ({"features": _with(np.nan)}, "1 of 6 feature rows .* first is row 3"),
        ({"features": _with(-np.inf)}, "1 of 6 feature rows .* first is row 3"),
        ({"features": _with(1e39)}, "not finite in float32, the first is row 3"),
        ({"labels": np.arange(5)}, r"labels are \[5\] but features have 6 rows"),
        ({"labels": np.eye(6, dtype=int)}, r"labels are \[6, 6\]"),
        ({"labels": np.arange(6.0)}, "labels are float64"),
        ({"labels": np.arange(6) + 1}, r"6 values in 1\.\.6, not dense"),
        ({"labels": [0, 1, 2, 2, 4, 4]}, r"4 values in 0\.\.4, not dense"),
        ({"labels": [0, 1, -1, 2, 3, 4]}, r"6 values in -1\.\.4, not dense"),
        ({"num_merges": -1}, "num_merges is -1: give 0 or more"),
        ({"num_merges": 1.5}, "num_merges is 1.5: give a whole number"),
        ({"criterion": "centriod"}, "did you mean 'centroid'"),
        ({"criterion": "single"}, "did you mean 'min'"),
        ({"criterion": "zzz"}, "one of min, max, centroid, average, median"),
        ({"size_penalty": -1.0}, "size_penalty is -1.0: give 0 or more"),
        ({"size_penalty": np.nan}, "size_penalty is nan"),
        ({"criterion": "max", "size_penalty": 0.1}, "0.1 with criterion 'max'"),
        (
            {"size_penalty": 0.1, "memory_limit": 100},
            "use 'min' without a size penalty",
        ),
        ({"criterion": "max", "memory_limit": 8 * 36 - 1}, "0.00 GiB for 6 clusters"),
    ],
)
def test_bad_input_names_values_and_mend(changes, message):
    arguments = {"features": LINE, "labels": np.arange(6), "num_merges": 2} | changes
    with pytest.raises(InputError, match=message) as raised:
        merge_clusters(**arguments)
    assert "\n" not in str(raised.value)


def test_a_matrix_that_just_fits_is_taken():
    merge_clusters(LINE, np.arange(6), 2, criterion="max", memory_limit=8 * 36)
    merge_clusters(LINE, np.arange(6), 2, criterion="min", memory_limit=0)
