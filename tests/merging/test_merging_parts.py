"""The parts of the exact minimum, each against a loop or a bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.merging import limits as refine
from fgu_jax.merging.blocks import candidate_pairs, nearest_elsewhere
from fgu_jax.merging.bounds import UNDERFLOW, Frame, lower_bounds, place_blocks
from fgu_jax.merging.forest import first_identical, kruskal, leaf_order
from fgu_jax.merging.limits import round_up
from fgu_jax.merging.single_linkage import squared_distances


def frame_distances(features, frame):
    rows = features.astype(np.float64)
    squared = np.square(rows[:, None] - rows[None]).sum(axis=-1)
    return squared * float(frame.scale) ** 2


@pytest.mark.parametrize("num_columns", [1, 7, 300])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1, 0), (1, 300), (1e-42, 0), (1e-30, 1e-28), (1e37, 0)]
)
def test_bounds_are_below_and_near(num_columns, scale, offset):
    rng = np.random.default_rng(num_columns)
    features = scale * rng.standard_normal((40, num_columns)) + offset
    features = features.astype(np.float32)
    features[1:9] = np.nextafter(features[0], np.float32(np.inf))
    frame = Frame.around(features)
    block = place_blocks(features, np.arange(40), frame, 40)[0]
    bounds = np.asarray(lower_bounds(block, block), np.float64)

    distances = frame_distances(features, frame)
    assert (bounds <= distances + UNDERFLOW).all()
    norms = np.square(np.asarray(block.rows, np.float64)).sum(axis=1)
    assert norms.max() < 1
    # Not so low as to be of no use: twice the margin, and that of the worst case.
    margin = 2 * (num_columns + 9) * 2.0**-24 * (norms[:, None] + norms)
    assert (bounds >= distances - 2.2 * margin - UNDERFLOW).all()


def test_bounds_hold_where_rounding_is_worst():
    # All products have one sign, so that the errors of a running sum add up.
    rng = np.random.default_rng(0)
    features = 1 + rng.random((64, 4096)) * 2.0**-12
    features[0] = -1
    features = features.astype(np.float32)
    frame = Frame(np.zeros(4096, np.float32), np.float32(2.0**-7))
    block = place_blocks(features, np.arange(64), frame, 64)[0]
    bounds = np.asarray(lower_bounds(block, block), np.float64)
    assert (bounds <= frame_distances(features, frame)).all()


def test_round_up_never_falls():
    values = np.array([0.0, 0.1, 1e-50, 3.0, -np.inf])
    assert (round_up(values).astype(np.float64) >= values).all()


@pytest.mark.parametrize("size", [8, 24, 64])
def test_nearest_elsewhere(size):
    rng = np.random.default_rng(size)
    features = rng.standard_normal((61, 5)).astype(np.float32)
    labels = rng.integers(0, 9, 61)
    frame = Frame.around(features)
    blocks = place_blocks(features, np.arange(61), frame, size)
    done = []
    bounds, neighbours = nearest_elsewhere(
        blocks, labels, lambda *now: done.append(now)
    )
    pairs = len(blocks) * (len(blocks) + 1) // 2
    assert [now[:2] for now in done] == [(i, pairs) for i in range(1, pairs + 1)]

    distances = frame_distances(features, frame)
    distances[labels[:, None] == labels] = np.inf
    assert (labels[neighbours] != labels).all()
    found = distances[np.arange(61), neighbours]
    assert (bounds <= distances.min(axis=1)).all()
    np.testing.assert_allclose(bounds, distances.min(axis=1), rtol=1e-2)
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-2)


def test_nearest_elsewhere_of_one_label():
    features = np.eye(9, dtype=np.float32)
    blocks = place_blocks(features, np.arange(9), Frame.around(features), 8)
    bounds, _ = nearest_elsewhere(blocks, np.zeros(9, np.int64))
    assert np.isinf(bounds).all()


@pytest.mark.parametrize("num_rows", [2, 3, 64, 65, 1300])
def test_candidates_are_all_pairs_within_their_limit(num_rows, monkeypatch):
    monkeypatch.setattr(refine, "_REFINED", 16)
    rng = np.random.default_rng(num_rows)
    features = rng.standard_normal((num_rows + 5, 2)).astype(np.float32)
    chosen = rng.permutation(num_rows + 5)[:num_rows]
    frame = Frame.around(features)
    distances = frame_distances(features[chosen], frame)
    # Few large gaps, so that the largest is as often in a block between as in an end's.
    gaps = np.quantile(distances, 0.05) * rng.random(num_rows - 1) ** 60
    gaps[rng.random(num_rows - 1) < 0.3] = -np.inf
    limits = np.full((num_rows, num_rows), -np.inf)
    for p in range(num_rows):
        limits[p, p + 1 :] = np.maximum.accumulate(gaps[p:])
    expected = {
        tuple(sorted(pair))
        for pair in chosen[np.argwhere(distances <= limits * (1 + 1e-9))].tolist()
    }
    found = [
        pair
        for i, j in candidate_pairs(features, chosen, gaps, frame)
        for pair in zip(i.tolist(), j.tolist(), strict=True)
    ]
    assert all(i < j for i, j in found)
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_candidates_where_no_bound_helps():
    # Every row is within the margin of every other, and there are several blocks.
    rng = np.random.default_rng(0)
    features = (1 + 1e-6 * rng.integers(0, 2, (1100, 3))).astype(np.float32)
    features[0] = -1
    chosen = np.arange(1, 1100)
    frame = Frame.around(features)
    pairs = candidate_pairs(features, chosen, np.full(1098, 1e-3), frame)
    assert sum(len(i) for i, _ in pairs) == 1099 * 1098 // 2


@settings(max_examples=50, deadline=None)
@given(
    edges=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=60),
    limit=st.integers(0, 12),
)
def test_kruskal_and_leaf_order(edges, limit):
    a, b = (np.array([edge[end] for edge in edges], np.int64) for end in (0, 1))
    kept, smallest = kruskal(a, b, num_nodes=12, limit=limit)

    component = np.arange(12)
    expected = []
    for position, (left, right) in enumerate(edges):
        if component[left] != component[right] and len(expected) < limit:
            merged = np.isin(component, component[[left, right]])
            component[merged] = component[merged].min()
            expected.append(position)
    assert kept.tolist() == expected
    assert np.array_equal(smallest, component)

    heights = np.repeat(np.arange(len(kept)), 2)[: len(kept)].astype(float)
    order, gaps = leaf_order(a[kept], b[kept], heights, num_nodes=12)
    assert sorted(order.tolist()) == list(range(12))
    place = np.argsort(order)
    largest = np.full((12, 12), np.inf)  # largest edge on the path, by Floyd
    largest[a[kept], b[kept]] = largest[b[kept], a[kept]] = heights
    for via in range(12):
        largest = np.minimum(
            largest, np.maximum(largest[:, via, None], largest[None, via])
        )
    for left in range(12):
        for right in range(12):
            p, q = sorted((place[left], place[right]))
            if p != q:
                assert gaps[p:q].max() == largest[left, right]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_columns", [1, 2, 3, 64])
def test_first_identical(dtype, num_columns):
    rng = np.random.default_rng(num_columns)
    rows = rng.integers(-1, 2, (500, num_columns)).astype(dtype)
    rows[100:300] = rows[:200]
    rows[400] = 0
    rows[401] = -0.0
    first = first_identical(rows)
    expected = [np.flatnonzero((rows == row).all(axis=1))[0] for row in rows]
    assert first.tolist() == expected
    assert first[401] == first[400]


def test_rows_of_one_hash_are_compared(monkeypatch):
    class NoMix:
        @staticmethod
        def integers(low, high, size, dtype):
            return np.zeros(size, dtype)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: NoMix())
    rows = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    first = first_identical(rows)
    assert np.array_equal(rows[first], rows)


def test_squared_distances_do_not_depend_on_their_company():
    rng = np.random.default_rng(0)
    for num_columns in (1, 3, 17, 2048):
        features = rng.standard_normal((900, num_columns)).astype(np.float32)
        i, j = rng.integers(0, 900, (2, 1200))
        together = squared_distances(features, i, j)
        alone = [
            squared_distances(features, i[e : e + 1], j[e : e + 1])[0]
            for e in range(0, 1200, 7)
        ]
        assert np.array_equal(together[::7], alone)
        assert np.array_equal(together, squared_distances(features, j, i))


def test_bounds_use_full_float32_products():
    block = jax.eval_shape(lambda: jnp.zeros((8, 4)))
    norms = jax.eval_shape(lambda: jnp.zeros(8))
    from fgu_jax.merging.bounds import Block

    text = str(jax.make_jaxpr(lower_bounds)(Block(block, norms), Block(block, norms)))
    assert "HIGHEST" in text
