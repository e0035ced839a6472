"""Losses in blocks of rows against the plain form: values, gradients, ties, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from fgu_jax import losses
from fgu_jax.errors import InputError
from fgu_jax.losses import streamed
from fgu_jax.losses.streamed import rows_at_once

N = 11


def _unit(rng, *shape):
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _local(dtype="float64", images=N, batch=4):
    rng = np.random.default_rng(3)
    table = _unit(rng, 3, images, 5)
    indices = np.linspace(0, images - 1, batch).astype(np.int32)
    x = table[:, indices] + 0.3 * rng.standard_normal((3, batch, 5))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return jnp.asarray(x, dtype), jnp.asarray(table, dtype), jnp.asarray(indices)


def _global(dtype="float64"):
    rng = np.random.default_rng(4)
    features, table = _unit(rng, 6, 5), _unit(rng, N, 5)
    labels = jnp.array([0, 3, 3, 1, 4, 2])
    return jnp.asarray(features, dtype), jnp.asarray(table, dtype), labels


def _pedal(block_rows, k=3):
    def total(x, W, i, scale):
        loss = losses.pedal_loss(
            x, W, i, scale=scale, num_neighbors=k, block_rows=block_rows
        )
        # Unequal cotangents: a gradient that mixes up examples must not pass.
        return jnp.sum(loss * jnp.cos(jnp.arange(loss.size)).reshape(loss.shape)), loss

    return jax.value_and_grad(total, argnums=(0, 3), has_aux=True)


def _repelled(block_rows, num_clusters):
    def total(v, V, y, temperature):
        loss = losses.repelled_loss(
            v,
            V,
            y,
            temperature=temperature,
            num_clusters=num_clusters,
            block_rows=block_rows,
        )
        return jnp.sum(loss * jnp.cos(jnp.arange(loss.size))), loss

    return jax.value_and_grad(total, argnums=(0, 3), has_aux=True)


def _assert_same(got, expected, tolerance):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


_TOLERANCE = {"float32": 3e-5, "float64": 1e-12}


# In blocks of one row some block holds the own row alone, and nothing that counts.
@pytest.mark.parametrize(
    ("dtype", "k", "block_rows"),
    [
        ("float64", 1, 1),
        ("float64", 3, 4),
        ("float64", N - 1, 1),
        ("float64", N - 1, 4),
        ("float32", 3, 10),
        ("float32", 1, 4),
    ],
)
def test_pedal_equals_the_plain_form(dtype, k, block_rows):
    with jax.enable_x64(dtype == "float64"):
        x, W, i = _local(dtype)
        scale = jnp.asarray(15.0, dtype)
        plain = jax.jit(_pedal(N, k))(x, W, i, scale)
        blocks = jax.jit(_pedal(block_rows, k))(x, W, i, scale)
        _assert_same(blocks, plain, _TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("dtype", "num_clusters", "block_rows"),
    [
        ("float64", None, 4),
        ("float64", 5, 1),
        ("float64", 5, 4),
        ("float32", N, 10),
        ("float32", 5, 4),
    ],
)
def test_repelled_equals_the_plain_form(dtype, num_clusters, block_rows):
    with jax.enable_x64(dtype == "float64"):
        v, V, y = _global(dtype)
        tau = jnp.asarray(0.1, dtype)
        plain = jax.jit(_repelled(N, num_clusters))(v, V, y, tau)
        blocks = jax.jit(_repelled(block_rows, num_clusters))(v, V, y, tau)
        _assert_same(blocks, plain, _TOLERANCE[dtype])


def test_gradients_against_differences():
    with jax.enable_x64(True):
        x, W, i = _local()
        v, V, y = _global()
        pedal = lambda x, s: losses.pedal_loss(
            x, W, i, scale=s, num_neighbors=3, block_rows=4
        )
        check_grads(jax.jit(pedal), (x, 5.0), order=1, modes=["rev"])
        repelled = lambda v, t: losses.repelled_loss(
            v, V, y, temperature=t, num_clusters=7, block_rows=4
        )
        check_grads(jax.jit(repelled), (v, 0.3), order=1, modes=["rev"])


@pytest.mark.parametrize(("k", "block_rows"), [(1, 1), (1, 4), (2, 3), (3, 2)])
def test_ties_go_to_the_lower_row_as_in_the_plain_form(k, block_rows):
    # Rows 1 to 4 are equally near to x, and every distance is exact in binary.
    rows = [[1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [-1, 0, 0]]
    W = jnp.asarray([rows], jnp.float32)
    x, i = jnp.asarray([[[1.0, 0.0, 0.0]]]), jnp.array([0])
    plain = jax.jit(_pedal(6, k))(x, W, i, 1.0)
    _assert_same(jax.jit(_pedal(block_rows, k))(x, W, i, 1.0), plain, 1e-6)
    gradient = np.asarray(plain[1][0][0, 0])
    lower = np.mean(rows[1 : 1 + k], axis=0)
    exponents = np.array([-1.0] * 4 + [-2.0])
    p = np.exp(exponents) / np.exp(exponents).sum()
    np.testing.assert_allclose(gradient, p @ np.array(rows[1:]) - lower, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "k"), [(512, 1), (512, 7), (512, 15), (96, 2), (515, 3), (40, 40)]
)
@pytest.mark.parametrize("values", [3, 1000])
def test_the_largest_and_their_places_are_those_of_top_k(count, k, values):
    rng = np.random.default_rng(count + k)
    drawn = rng.integers(0, values, (2, 5, count)).astype(np.float32)
    drawn[1, :3, : count - 4] = -np.inf  # fewer than k that count
    found, places = jax.jit(streamed._among_largest, static_argnums=1)(drawn, k)
    grouped = count % 16 == 0 and k * 32 < count
    assert found.shape == places.shape == (2, 5, 16 * k if grouped else count)
    np.testing.assert_array_equal(np.take_along_axis(drawn, places, -1), found)
    assert (np.diff(places) > 0).all()
    best, where = jax.lax.top_k(found, k)
    expected = jax.lax.top_k(drawn, k)
    np.testing.assert_array_equal(best, expected[0])
    np.testing.assert_array_equal(np.take_along_axis(places, where, -1), expected[1])


@pytest.mark.parametrize("block_rows", [352, 400, 699])
def test_pedal_takes_its_neighbours_by_groups(block_rows):
    rng = np.random.default_rng(5)
    # Few directions, so that many rows are equally near, in every block.
    W = _unit(rng, 2, 12, 4)[:, rng.integers(0, 12, 700)].astype(np.float32)
    i = jnp.array([0, 351, 699])
    x = jnp.asarray(_unit(rng, 2, 3, 4), jnp.float32)
    plain = jax.jit(_pedal(700, 5))(x, W, i, 15.0)
    _assert_same(jax.jit(_pedal(block_rows, 5))(x, W, i, 15.0), plain, 3e-5)


def test_blocks_of_dead_rows_are_not_read():
    v, V, y = _global("float32")
    nan = V.at[8:].set(jnp.nan)  # the blocks 0..3 and 4..7 hold all that lives
    got = jax.jit(_repelled(4, jnp.int32(6)))(v, nan, y, 0.1)
    _assert_same(got, jax.jit(_repelled(N, 6))(v, V, y, 0.1), 3e-5)


def test_a_traced_number_of_clusters_compiles_once():
    v, V, y = _global("float32")
    traces = []

    @jax.jit
    def loss(v, num_clusters):
        traces.append(1)
        return losses.repelled_loss(v, V, y, num_clusters=num_clusters, block_rows=4)

    for alive in (5, 8, N):
        plain = losses.repelled_loss(v, V, y, num_clusters=alive, block_rows=N)
        np.testing.assert_allclose(loss(v, alive), plain, rtol=1e-5)
    assert len(traces) == 1


def test_tables_are_constants():
    x, W, i = _local("float32")
    v, V, y = _global("float32")
    pedal = lambda W: losses.pedal_loss(
        x, W, i, scale=5.0, num_neighbors=3, block_rows=4
    ).sum()
    assert not jax.jit(jax.grad(pedal))(W).any()
    repelled = lambda V: losses.repelled_loss(v, V, y, block_rows=4).sum()
    assert not jax.jit(jax.grad(repelled))(V).any()


def test_under_vmap():
    x, W, i = _local("float32")
    pedal = lambda x, W: losses.pedal_loss(
        x[None], W[None], i, scale=5.0, num_neighbors=3, block_rows=4
    )[0].sum()
    both = jax.value_and_grad(pedal)
    each = jax.jit(jax.vmap(both))(x, W)
    alone = [jax.jit(both)(a, b) for a, b in zip(x, W, strict=True)]
    alone = jax.tree.map(lambda *parts: jnp.stack(parts), *alone)
    _assert_same(each, alone, 1e-5)

    v, V, y = _global("float32")
    one = lambda v, y, c: losses.repelled_loss(
        v[None], V, y[None], num_clusters=c, block_rows=4
    )[0]
    alive = jnp.array([5, 6, 7, 8, 9, 11])  # as many blocks as each example needs
    both = jax.value_and_grad(one)
    each = jax.jit(jax.vmap(both))(v, y, alive)
    for b in range(6):
        expected = jax.jit(both)(v[b], y[b], alive[b])
        _assert_same(jax.tree.map(lambda part, b=b: part[b], each), expected, 1e-5)


def test_under_shard_map():
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",), axis_types=(AxisType.Auto,))
    x, W, i = _local("float32", batch=8)

    def one(x, W, i):
        mean = lambda x: losses.pedal_loss(
            x, W, i, scale=5.0, num_neighbors=3, block_rows=4
        ).mean()
        value, gradient = jax.value_and_grad(mean)(x)
        return jax.lax.pmean(value, "data"), gradient / 4

    cut = P(None, "data")
    mapped = jax.shard_map(
        one,
        mesh=mesh,
        in_specs=(cut, P(), P("data")),
        out_specs=(P(), cut),
        check_vma=False,
    )
    whole = lambda x: losses.pedal_loss(
        x, W, i, scale=5.0, num_neighbors=3, block_rows=N
    ).mean()
    _assert_same(jax.jit(mapped)(x, W, i), jax.jit(jax.value_and_grad(whole))(x), 1e-5)


@pytest.mark.parametrize("what", ["pedal", "repelled"])
def test_memory_does_not_grow_with_the_table(what):
    """Temporary bytes of value and gradient, as compiled."""

    def temporary(rows, block_rows):
        shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, jnp.float32)
        index = jax.ShapeDtypeStruct((16,), jnp.int32)
        if what == "pedal":
            function = lambda x, W, i: _pedal(block_rows, 5)(x, W, i, 15.0)
            arguments = shape(2, 16, 32), shape(2, rows, 32), index
        else:
            function = lambda v, V, y: _repelled(block_rows, None)(v, V, y, 0.1)
            arguments = shape(16, 32), shape(rows, 32), index
        found = jax.jit(function).lower(*arguments).compile().memory_analysis()
        return found.temp_size_in_bytes

    small, large = temporary(2_000, 250), temporary(200_000, 250)
    assert large <= small + 1024
    copies = 2 if what == "pedal" else 1
    assert large < 20 * copies * 250 * (16 + 32) * 4
    assert temporary(200_000, 200_000) > copies * 16 * 200_000 * 4  # the plain form


def test_the_rule_of_sizes():
    whole = rows_at_once(8, 500, 64, copies=4)
    assert whole == 500  # small tables are read at once
    for k, most in ((1, 3 << 18), (15, 1 << 21)):
        market = rows_at_once(42, 12_936, 256, copies=6, num_neighbors=k)
        blocks = -(-12_936 // market)
        assert market * (42 + 256) <= most
        assert market % streamed._GROUP == 0
        assert 0 <= blocks * market - 12_936 < streamed._GROUP * blocks
    assert 513 / 2 <= rows_at_once(8, 513, 64) < 513
    assert rows_at_once(42, 12_936, 256, num_neighbors=6_000) == 12_936
    # At a million rows the default is streamed, and no caller says so.
    shapes = [
        jax.ShapeDtypeStruct(s, t)
        for s, t in (
            ((6, 32, 256), jnp.float32),
            ((6, 1_000_000, 256), jnp.float32),
            ((32,), jnp.int32),
        )
    ]
    default = lambda x, W, i: losses.pedal_loss(x, W, i, scale=15.0)
    found = jax.jit(default).lower(*shapes).compile().memory_analysis()
    assert found.temp_size_in_bytes < 16 << 20


def test_what_the_plain_form_alone_has():
    x, W, i = _local("float32")
    tangent = jnp.ones_like(x)
    loss = lambda rows: (
        lambda x: losses.pedal_loss(
            x, W, i, scale=5.0, num_neighbors=3, block_rows=rows
        )
    )
    assert jax.jvp(loss(N), (x,), (tangent,))[1].shape == (3, 4)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(loss(4), (x,), (tangent,))


def test_a_block_has_rows():
    x, W, i = _local("float32")
    v, V, y = _global("float32")
    with pytest.raises(InputError, match="block_rows is 0"):
        losses.pedal_loss(x, W, i, scale=5.0, num_neighbors=3, block_rows=0)
    with pytest.raises(InputError, match="block_rows is -1"):
        losses.repelled_loss(v, V, y, block_rows=-1)
