"""The graph of k-reciprocal neighbours: by slow loops, and what it must not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.clustering import neighbour_graph
from fgu_jax.clustering.cameras import centred
from fgu_jax.clustering.graph import graph_of, unit_features
from fgu_jax.clustering.neighbours import nearest_lists, on_device, on_host
from fgu_jax.errors import InputError
from fgu_jax.retrieval import search

RANDOM = np.random.default_rng(0)
MIDDLE = RANDOM.standard_normal((9, 8)).repeat(7, axis=0)
GROUPS = MIDDLE + 0.7 * RANDOM.standard_normal(MIDDLE.shape)
DOUBLED = np.concatenate([GROUPS[:40], GROUPS[5:15], GROUPS[5:8]])


def slowly(features, k1, k2):
    """Zhong et al. by loops over sets, in float64."""
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    x = x.astype(np.float32).astype(np.float64)
    count = len(x)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    lists = [
        sorted(range(count), key=lambda j, i=i: (j != i, squared[i, j], j))
        for i in range(count)
    ]

    def reciprocal(i, k):
        return {j for j in lists[i][: k + 1] if i in lists[j][: k + 1]}

    encodings = np.zeros((count, count))
    for i in range(count):
        near = reciprocal(i, k1)
        wide = set(near)
        for j in near:
            half = reciprocal(j, round(k1 / 2))
            if len(half & near) > 2 / 3 * len(half):
                wide |= half
        members = sorted(wide)
        encodings[i, members] = np.exp(-squared[i, members])
        encodings[i] /= encodings[i].sum()
    encodings = np.array([encodings[near[:k2]].mean(axis=0) for near in lists])
    shared = np.minimum(encodings[:, None], encodings[None]).sum(axis=2)
    similarity = shared / (2 - shared)
    np.fill_diagonal(similarity, 0)
    return np.where(similarity < 0.01, 0, similarity)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (4, 1), (7, 3), (12, 4), (30, 6)])
@pytest.mark.parametrize("features", [GROUPS, DOUBLED], ids=["groups", "duplicates"])
def test_is_the_slow_loops(features, k1, k2):
    graph = neighbour_graph(features, k1=k1, k2=k2)
    np.testing.assert_allclose(
        graph.toarray(), slowly(features, k1, k2), rtol=0, atol=1e-6
    )


def test_by_hand():
    # On a line, k1 = 1: 0 and 1 are mutual, as are 2 and 3, and 4 has 3 but not back.
    angles = np.array([0, 0.1, 1, 1.15, 1.4])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    near = np.exp(-4 * np.sin(0.05) ** 2)  # V_0 = (1, near) / (1 + near)
    shared = 2 * min(1, near) / (1 + near)
    similarity = neighbour_graph(points, k1=1, k2=1).toarray()
    assert similarity[0, 1] == pytest.approx(shared / (2 - shared), abs=1e-6)
    assert (similarity > 0).sum() == 4
    assert similarity[4].sum() == 0


def test_has_the_form_that_is_promised():
    graph = neighbour_graph(DOUBLED, k1=9)
    assert graph.dtype == np.float32
    assert graph.shape == (53, 53)
    assert (graph != graph.T).nnz == 0
    assert graph.diagonal().max() == 0
    assert graph.data.min() >= 0.01 - 2**-24
    assert 0 < graph.data.min() <= graph.data.max() <= 1
    grid = graph.data.astype(np.float64) * 2**24
    assert (grid == grid.round()).all()


@given(st.permutations(range(63)))
@settings(deadline=None, max_examples=20)
def test_does_not_depend_on_the_order_of_images(order):
    order = np.array(order)
    straight = neighbour_graph(GROUPS)
    turned = neighbour_graph(GROUPS[order])
    assert abs(straight[order][:, order] - turned).max() <= 2**-23


@pytest.mark.parametrize("dtype", [np.float16, np.float64, jnp.bfloat16])
def test_takes_any_floating_type(dtype):
    features = np.asarray(jnp.asarray(GROUPS, jnp.bfloat16).astype(np.float32))
    expected = neighbour_graph(features, k1=6)
    assert (neighbour_graph(features.astype(dtype), k1=6) != expected).nnz == 0


def test_length_does_not_count():
    length = 2.0 ** RANDOM.integers(-30, 30, 63)
    scaled = neighbour_graph(GROUPS * length[:, None], k1=6)
    assert abs(scaled - neighbour_graph(GROUPS, k1=6)).max() < 1e-5


@pytest.mark.parametrize("features", [GROUPS, DOUBLED, np.ones((50, 3))])
@pytest.mark.parametrize("k", [1, 5, 20, 49])
def test_devices_find_the_same_neighbours(features, k):
    unit = unit_features(features)
    np.testing.assert_array_equal(on_device(unit, k), on_host(unit, k))


def test_neighbours_are_those_of_a_search():
    unit = unit_features(GROUPS)
    found, _ = search(unit, unit, k=12)  # none is double: each finds itself first
    np.testing.assert_array_equal(nearest_lists(unit, 11), found)


def test_devices_in_blocks(monkeypatch):
    unit = unit_features(RANDOM.standard_normal((300, 16)))
    unit[100:140] = unit[7]
    whole = on_device(unit, 12)
    monkeypatch.setattr("fgu_jax.clustering.neighbours._DEVICE", 300 * 64)
    monkeypatch.setattr("fgu_jax.clustering.neighbours._HOST", 300 * 40)
    np.testing.assert_array_equal(on_device(unit, 12), whole)
    np.testing.assert_array_equal(nearest_lists(unit, 12), whole)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_array_equal(nearest_lists(unit, 12), whole)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(count):
    found = graph_of(np.eye(3)[:count], k1=20)
    assert found.similarities.shape == (count, count)
    assert found.k1 == max(1, count - 1)
    assert graph_of(np.eye(3)[:count]).k1 == 1


def test_k1_falls_to_what_there_is():
    found = graph_of(GROUPS, k1=500, k2=400)
    assert (found.k1, found.k2) == (62, 63)
    assert (found.similarities != neighbour_graph(GROUPS, k1=62, k2=63)).nnz == 0


def test_all_images_alike():
    graph = neighbour_graph(np.ones((60, 4)), k1=59, k2=1)
    assert graph.toarray()[~np.eye(60, dtype=bool)].min() == pytest.approx(1, abs=1e-5)


def test_cameras_are_taken_out():
    of = np.arange(63) % 2
    shift = np.where(of[:, None] == 1, 3.0, 0.0) * np.eye(8)[:1]
    plain = neighbour_graph(GROUPS + shift, k1=6).toarray()
    mended = neighbour_graph(GROUPS + shift, k1=6, cameras=of).toarray()
    same = (np.arange(63)[:, None] // 7 == np.arange(63)[None] // 7) & (
        of[:, None] != of[None]
    )
    assert mended[same].mean() > 2 * plain[same].mean()


def test_a_camera_of_few_images_keeps_them():
    unit = unit_features(GROUPS)
    of = np.zeros(63, int)
    of[10] = 4
    moved = centred(unit, of)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    assert unit[10] @ moved[10] > 0.5
    np.testing.assert_array_equal(centred(np.ones((5, 1), np.float32), of[:5]), 1)


@pytest.mark.parametrize(
    ("features", "arguments", "says"),
    [
        (np.array([[1, np.nan]]), {}, "features row 0 holds NaN"),
        (np.array([[1, 0], [np.inf, 0]]), {}, "features row 1 holds NaN or infinity"),
        (np.array([[1, 0], [0, 0]]), {}, "features row 1 has zero norm"),
        (np.zeros((0, 3)), {}, "shape"),
        (np.ones(3), {}, "shape"),
        (np.ones((3, 2), complex), {}, "complex"),
        ([["a"]], {}, "features holds"),
        (GROUPS, {"k1": 0}, "k1=0: give a whole number"),
        (GROUPS, {"k1": 2.5}, "k1=2.5"),
        (GROUPS, {"k2": -1}, "k2=-1"),
        (GROUPS, {"cameras": [1, 2]}, "cameras has shape"),
        (GROUPS, {"cameras": np.ones(63)}, "cameras holds float64"),
    ],
)
def test_refuses(features, arguments, says):
    with pytest.raises(InputError, match=says) as caught:
        neighbour_graph(features, **arguments)
    assert "\n" not in str(caught.value)
