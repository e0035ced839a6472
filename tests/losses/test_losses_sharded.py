"""Losses and memories of tables cut by rows over devices: those of whole tables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from fgu_jax import losses, memory
from fgu_jax.config import Config
from fgu_jax.losses import sharded
from fgu_jax.networks.network import Features
from fgu_jax.parallel.mesh import AXIS, make_mesh, map_over_devices
from fgu_jax.training import tables
from fgu_jax.training.state import TrainState

# 41 rows on 8 devices: 6 each, one device has a dead row and one has no live row. k is
# more than a device's rows.
N, B, D, U, WIDTH, K = 41, 16, 7, 3, 5, 9
ALIVE = 30
SIZE = (16, 8)


def _unit(rng, *shape):
    rows = rng.standard_normal(shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _problem(seed=0):
    """Tables, a batch with repeated labels, and equal rows of W on two devices."""
    rng = np.random.default_rng(seed)
    W = _unit(rng, U, N, WIDTH)
    W[:, 33] = W[:, 2]
    return {
        "V": _unit(rng, N, D),
        "c": 0.7 * _unit(rng, N, D),
        "W": W,
        "v": _unit(rng, B, D),
        "x": _unit(rng, U, B, WIDTH),
        "labels": rng.integers(0, ALIVE, B).astype(np.int32) // 3 * 3,
        "images": rng.permutation(N)[:B].astype(np.int32),
    }


def _on(devices, function, has, **specs_of):
    """``function`` under shard_map over the devices, tables padded by rubbish."""
    height = -(-N // devices) * devices

    def pad(table, axis):
        widths = [(0, (height - N) * (k == axis)) for k in range(table.ndim)]
        return np.pad(table, widths, constant_values=7.0)

    placed = has | {"V": pad(has["V"], 0), "c": pad(has["c"], 0), "W": pad(has["W"], 1)}
    cut = {name: P(AXIS) for name in ("V", "c", "v", "labels", "images")}
    cut |= {"W": P(None, AXIS), "x": P(None, AXIS)}
    return map_over_devices(function, make_mesh(devices), in_specs=(cut,), **specs_of)(
        placed
    )


def _cut_losses(weights, part):
    batch = tables.gather(
        Features(part["v"], part["x"]), part["labels"], part["images"]
    )
    own = _own_part(weights, part)

    def total(v, x):
        repelled, attracted = sharded.rafl_losses(
            v,
            batch,
            part["V"],
            part["c"],
            temperature=0.1,
            num_clusters=jnp.int32(ALIVE),
            axis_name=AXIS,
        )
        patch = sharded.pedal_loss(
            x,
            batch,
            part["W"],
            scale=15.0,
            num_neighbors=K,
            num_images=N,
            axis_name=AXIS,
        )
        values = (repelled, attracted, patch)
        return sum(jnp.sum(w * l) for w, l in zip(own, values, strict=True)), values

    gradients, values = jax.grad(total, (0, 1), has_aux=True)(part["v"], part["x"])
    return values, gradients


def _own_part(weights, part):
    size = len(part["v"])
    start = jax.lax.axis_index(AXIS) * size
    return [
        jax.lax.dynamic_slice_in_dim(jnp.asarray(w), start, size, axis=w.ndim - 1)
        for w in weights
    ]


def _whole_losses(weights, has):
    def total(v, x):
        values = (
            losses.repelled_loss(
                v, has["V"], has["labels"], temperature=0.1, num_clusters=ALIVE
            ),
            losses.attracted_loss(v, has["c"], has["labels"]),
            losses.pedal_loss(x, has["W"], has["images"], scale=15.0, num_neighbors=K),
        )
        return sum(jnp.sum(w * l) for w, l in zip(weights, values, strict=True)), values

    gradients, values = jax.grad(total, (0, 1), has_aux=True)(has["v"], has["x"])
    return values, gradients


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)
def test_losses_and_gradients_are_those_of_whole_tables(devices, dtype, tolerance):
    rng = np.random.default_rng(5)
    shapes = [(B,), (B,), (U, B)]
    with jax.enable_x64(dtype == "float64"):
        has = {
            name: jnp.asarray(x, dtype if x.dtype == np.float64 else x.dtype)
            for name, x in _problem().items()
        }
        weights = [jnp.asarray(rng.uniform(0.5, 2, shape), dtype) for shape in shapes]
        expected = jax.jit(functools.partial(_whole_losses, weights))(has)
        by_rows, by_patch = P(AXIS), P(None, AXIS)
        got = _on(
            devices,
            functools.partial(_cut_losses, weights),
            has,
            out_specs=((by_rows, by_rows, by_patch), (by_rows, by_patch)),
        )
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            assert a.dtype == b.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("rule", ["each", "hardest"])
def test_a_row_of_w_a_cluster_is_as_a_whole_table(devices, rule):
    """Losses, gradients and both memories, where patches have clusters too."""
    with jax.enable_x64(True):
        has = {name: jnp.asarray(x) for name, x in _problem().items()}
        config = Config(patch_loss="clusters", memory_rate=0.75, memory_update=rule)
        rng = np.random.default_rng(5)
        weights = [jnp.asarray(rng.uniform(0.5, 2, shape)) for shape in [(B,), (U, B)]]

        def found(of, own, part):
            batch = tables.gather(
                Features(part["v"], part["x"]), part["labels"], part["images"]
            )
            blank = dict.fromkeys(TrainState.__dataclass_fields__)
            state = TrainState(**blank | {
                "cluster_memory": part["V"], "centres": part["c"],
                "patch_memory": part["W"], "num_clusters": jnp.int32(ALIVE),
                "labels": jnp.zeros(N, jnp.int32),
            })  # fmt: skip

            def total(v, x):
                repelled, _, patch = of.losses(
                    config,
                    state,
                    Features(v, x),
                    config.temperature,
                    batch=batch,
                    labels=part["labels"],
                    index=part["images"],
                )
                values = (repelled, patch)
                pairs = zip(own(weights, part), values, strict=True)
                return sum(jnp.sum(w * l) for w, l in pairs), values

            gradients, values = jax.grad(total, (0, 1), has_aux=True)(
                part["v"], part["x"]
            )
            return values, gradients, of.updated(config, state, batch)

        by_rows, by_patch = P(AXIS), P(None, AXIS)
        both = (by_rows, by_patch)
        cut = functools.partial(found, tables.CUT, _own_part)
        got = _on(devices, cut, has, out_specs=(both, both, both))
        whole = functools.partial(found, tables.WHOLE, lambda w, _: w)
        one = make_mesh(1)
        expected = map_over_devices(whole, one, in_specs=(P(),), out_specs=P())(has)
        alive = (got[2][0][:N], got[2][1][:, :N])
        for a, b in zip(
            jax.tree.leaves((*got[:2], alive)), jax.tree.leaves(expected), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
        # By hand: the patch loss of one patch is the repelled loss of its row of W.
        again = losses.repelled_loss(
            has["x"][1], has["W"][1], has["labels"], num_clusters=ALIVE
        )
        np.testing.assert_allclose(expected[0][1][1], again, rtol=1e-12)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_memories_change_as_whole_ones_do(devices):
    has = {
        name: jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype)
        for name, x in _problem(1).items()
    }
    has["images"] = has["images"].at[5].set(has["images"][1])  # one image comes twice

    def update(part):
        batch = tables.gather(
            Features(part["v"], part["x"]), part["labels"], part["images"]
        )
        return (
            sharded.update_cluster_memory(part["V"], batch, axis_name=AXIS),
            sharded.update_patch_memory(part["W"], batch, rate=0.1, axis_name=AXIS),
        )

    V, W = _on(devices, update, has, out_specs=(P(AXIS), P(None, AXIS)))
    expected_V = jax.jit(memory.update_cluster_memory)(
        has["V"], has["v"], has["labels"]
    )
    expected_W = jax.jit(memory.update_patch_memory)(has["W"], has["x"], has["images"])
    np.testing.assert_allclose(V[:N], expected_V, rtol=0, atol=1e-7)
    np.testing.assert_allclose(W[:, :N], expected_W, rtol=0, atol=1e-7)
    assert np.all(np.asarray(V[N:]) == 7)
    assert np.all(np.asarray(W[:, N:]) == 7)
