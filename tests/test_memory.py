"""Memory rules against sequential NumPy loops."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax import memory
from fgu_jax.clustering.means import cluster_centres
from fgu_jax.errors import InputError


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _cluster_loop(table, features, labels):
    table = table.copy()
    for v, y in zip(features, labels, strict=True):
        table[y] = _unit((table[y] + v) / 2)
    return table


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-9)])
@given(labels=st.lists(st.integers(0, 3), max_size=8), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_cluster_memory_equals_the_loop(dtype, tolerance, labels, seed):
    rng = np.random.default_rng(seed)
    table = _unit(rng.standard_normal((4, 3)))
    features = _unit(rng.standard_normal((len(labels), 3)))
    y = np.array(labels, "int32")
    with jax.enable_x64(dtype == "float64"):
        got = jax.jit(memory.update_cluster_memory)(
            jnp.asarray(table, dtype), jnp.asarray(features, dtype), jnp.asarray(y)
        )
    assert got.dtype == dtype
    np.testing.assert_allclose(got, _cluster_loop(table, features, y), atol=tolerance)


def _hardest_loop(table, features, labels, rate):
    """Cluster Contrast's ``CM_Hard``: the least like its row, of each of the batch."""
    new = table.copy()
    for y in set(labels.tolist()):
        own = np.flatnonzero(labels == y)
        hardest = features[own[np.argmin(features[own] @ table[y])]]
        new[y] = _unit((1 - rate) * table[y] + rate * hardest)
    return new


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9, 1.0])
def test_the_rate_and_the_hardest_equal_loops(rate):
    rng = np.random.default_rng(3)
    table = _unit(rng.standard_normal((4, 3)))
    features = _unit(rng.standard_normal((9, 3)))
    features[8] = features[7]  # as hard as each other: once, whichever
    labels = np.array([0, 2, 2, 0, 1, 2, 0, 2, 2], "int32")
    expected = table.copy()
    for v, y in zip(features, labels, strict=True):
        expected[y] = _unit((1 - rate) * expected[y] + rate * v)
    with jax.enable_x64(True):
        arrays = jnp.asarray(table), jnp.asarray(features), jnp.asarray(labels)
        options = ("rate", "hardest")
        update = jax.jit(memory.update_cluster_memory, static_argnames=options)
        got = update(*arrays, rate=rate)
        hard = update(*arrays, rate=rate, hardest=True)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    hardest = _hardest_loop(table, features, labels, rate)
    np.testing.assert_allclose(hard, hardest, atol=1e-12)


@pytest.fixture
def rounds(monkeypatch):
    """A mark for each round that an update takes, of a loop that is not compiled."""
    taken = []

    def while_loop(goes_on, one_round, carry):
        while goes_on(carry):
            taken.append(1)
            carry = one_round(carry)
        return carry

    monkeypatch.setattr(memory, "lax", types.SimpleNamespace(while_loop=while_loop))
    return taken


def test_images_that_change_nothing_take_no_round(rounds):
    rng = np.random.default_rng(4)
    table = jnp.asarray(_unit(rng.standard_normal((6, 8))), jnp.float32)
    features = jnp.asarray(_unit(rng.standard_normal((32, 8))), jnp.float32)
    labels = jnp.arange(32) % 4  # 8 of each: 28 are beaten
    alike = jnp.sum(table[labels] * features, axis=-1).reshape(8, 4)
    kept = jnp.argmin(alike, axis=0) * 4 + jnp.arange(4)
    alone = memory.update_cluster_memory(table, features[kept], labels[kept])
    rounds.clear()
    hard = memory.update_cluster_memory(table, features, labels, hardest=True)
    assert len(rounds) == 1
    np.testing.assert_array_equal(hard, alone)
    rounds.clear()
    outside = jnp.where(labels == 1, 1, -1).at[0].set(6)
    memory.update_cluster_memory(table, features, outside)
    assert len(rounds) == 8


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-9)])
def test_patch_memory_equals_the_loop(dtype, tolerance):
    rng = np.random.default_rng(0)
    table = _unit(rng.standard_normal((2, 6, 3)))
    patches = _unit(rng.standard_normal((2, 4, 3)))
    indices = np.array([5, 1, 5, 0], "int32")
    expected = table.copy()
    for b, i in enumerate(indices):
        for u in range(2):
            expected[u, i] = _unit(0.9 * expected[u, i] + 0.1 * patches[u, b])
    with jax.enable_x64(dtype == "float64"):
        arrays = jnp.asarray(table, dtype), jnp.asarray(patches, dtype)
        got = memory.update_patch_memory(*arrays, jnp.asarray(indices), rate=0.1)
    np.testing.assert_allclose(got, expected, atol=tolerance)


def test_order_within_a_batch_matters_and_is_kept():
    table = jnp.array([[1.0, 0.0]])
    a, b = jnp.array([0.0, 1.0]), jnp.array([0.0, -1.0])
    y = jnp.array([0, 0])
    ab = memory.update_cluster_memory(table, jnp.stack([a, b]), y)
    ba = memory.update_cluster_memory(table, jnp.stack([b, a]), y)
    assert float(ab[0, 1]) < 0 < float(ba[0, 1])


def test_same_under_jit_and_vmap():
    rng = np.random.default_rng(1)
    table = jnp.asarray(_unit(rng.standard_normal((3, 4, 5))), jnp.float32)
    features = jnp.asarray(_unit(rng.standard_normal((3, 6, 5))), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, (3, 6)))
    mapped = jax.vmap(memory.update_cluster_memory)(table, features, labels)
    for k in range(3):
        one = jax.jit(memory.update_cluster_memory)(table[k], features[k], labels[k])
        np.testing.assert_allclose(mapped[k], one, rtol=1e-6)


def test_labels_outside_change_nothing():
    table = jnp.eye(3)
    got = memory.update_cluster_memory(table, jnp.ones((2, 3)), jnp.array([-1, 3]))
    np.testing.assert_array_equal(got, table)


def test_centres_are_means():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((20, 300)).astype(np.float32)
    labels = np.r_[np.arange(4), rng.integers(0, 4, 16)]
    got = cluster_centres(features, labels, rows=6)
    for c in range(4):
        np.testing.assert_allclose(
            got[c], features[labels == c].mean(0), atol=1e-6, rtol=1e-5
        )
    assert not got[4:].any()
    assert got.dtype == np.float32


def test_bad_arguments():
    with pytest.raises(InputError, match=r"rate is 1.5: give a number in 0..1"):
        memory.update_cluster_memory(
            jnp.eye(2), jnp.ones((1, 2)), jnp.array([0]), rate=1.5
        )
    with pytest.raises(InputError, match=r"\[C, D\]"):
        memory.update_cluster_memory(jnp.eye(3), jnp.ones((2, 4)), jnp.array([0, 1]))
    with pytest.raises(InputError, match=r"\[U, N, d\]"):
        memory.update_patch_memory(jnp.eye(3), jnp.ones((2, 4)), jnp.array([0, 1]))
    for rate in (2, -0.5):
        with pytest.raises(InputError, match=f"rate is {rate}"):
            memory.update_patch_memory(
                jnp.ones((1, 2, 3)), jnp.ones((1, 1, 3)), jnp.array([0]), rate=rate
            )
    with pytest.raises(InputError, match="dense"):
        cluster_centres(np.eye(3), np.array([0, 2, 2]), rows=3)
    with pytest.raises(InputError, match="2 rows"):
        cluster_centres(np.eye(3), np.array([0, 1, 2]), rows=2)
    with pytest.raises(InputError, match="give"):
        cluster_centres(np.eye(3), np.array([0, 1]), rows=2)
    with pytest.raises(InputError, match=r"\[N\] and \[N, D\]"):
        cluster_centres(np.eye(3), np.array([0, 1, 0, 1]), rows=2)


def test_a_row_a_cluster_of_a_memory_of_images():
    """SpCL's logit of a cluster: the mean of those of its images; and no gradient."""
    rng = np.random.default_rng(0)
    table, v = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    labels = np.array([2, 0, 1, 2, 2, -1, 0, 3, -1], np.int32)
    with jax.enable_x64(True):
        means = memory.means_by_cluster(jnp.asarray(table), jnp.asarray(labels))
        means = np.asarray(means)
    assert means.shape == (9, 4)
    products = v @ table.T
    for cluster in range(4):
        wanted = products[:, labels == cluster].mean(axis=1)
        np.testing.assert_allclose(v @ means[cluster], wanted, rtol=1e-12)
    assert not means[4:].any()
    with pytest.raises(
        InputError, match=r"labels \(3,\) do not fit the table \(9, 4\)"
    ):
        memory.means_by_cluster(jnp.zeros((9, 4)), jnp.zeros(3, int))
