"""Training with tables cut by rows over 1, 2, 4, 8 devices is that with whole ones."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_run import SMALL_RUN
from test_step import Small, sgd

from fgu_jax.bench.pieces.collectives import collective_bytes
from fgu_jax.config import Config, presets
from fgu_jax.merging import merge_clusters
from fgu_jax.networks.heads import unit
from fgu_jax.networks.network import Features
from fgu_jax.parallel.mesh import AXIS, make_mesh, shard_batch
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.training import loop, step
from fgu_jax.training.placement import place_state, with_whole_tables
from fgu_jax.training.state import create, specs, with_clusters

# 41 rows on 8 devices: 6 each, one device has a dead row and one has no live row. k is
# more than a device's rows.
N, B, D, U, WIDTH, K = 41, 16, 7, 3, 5, 9
ALIVE = 30
SIZE = (16, 8)


def _unit(rng, *shape):
    rows = rng.standard_normal(shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _start(dtype, devices, shard_tables, num_images=N):
    """A step and its first state on the mesh; features are drawn, not computed."""
    mesh = make_mesh(devices)
    rng = np.random.default_rng(2)
    network = Small(dtype=dtype, axis_name=AXIS)
    blank = jnp.zeros((1, *SIZE, 3), dtype)
    variables = network.init(jax.random.key(0), blank, train=False)
    optimizer = sgd(variables)
    state = create(
        variables=variables,
        optimizer=optimizer,
        global_features=_unit(rng, num_images, 12).astype(dtype),
        patches=_unit(rng, 2, num_images, 8).astype(dtype),
        seed=3,
        on_host=shard_tables,
    )
    config = Config(num_neighbors=K, shard_tables=shard_tables, crop=False, flip=False)
    one = step.make_train_step(network, optimizer, config, num_images // B)
    traces = []

    def counted(*args):
        traces.append(1)
        return one(*args)

    train_step = step.mapped_train_step(
        counted,
        mesh,
        specs(shard_tables=shard_tables),
    )
    return mesh, place_state(state, mesh, shard_tables=shard_tables), train_step, traces


def _train(dtype, devices, shard_tables):
    """Five steps, a merge, five more: losses, first gradient, last state."""
    mesh, state, train_step, traces = _start(dtype, devices, shard_tables)
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (N, *SIZE, 3), np.uint8)
    features = _unit(rng, N, 12).astype(dtype)
    seen, gradient = [], None
    for k in range(10):
        index = rng.permutation(N)[:B].astype(np.int32)
        batch = shard_batch({"index": index, "image": images[index]}, mesh)
        state, found = train_step(state, None, batch)
        seen.append(jax.device_get(found))
        if k == 0:  # without decay, SGD's first momentum is the gradient
            gradient = jax.device_get(jax.tree.leaves(state.opt_state))
        if k == 4:
            labels = merge_clusters(features, np.asarray(state.labels), 15)
            state = with_clusters(state, labels, features)
            state = place_state(state, mesh, shard_tables=shard_tables)
    if dtype == jnp.float32:
        assert len(traces) == 1  # neither a merge nor padding compiles anything
    state = with_whole_tables(state)
    V, c = (np.asarray(x)[: N - 15] for x in (state.cluster_memory, state.centres))
    return seen, gradient, V, c, np.asarray(state.patch_memory), state.params


@functools.cache
def _whole(dtype):
    with jax.enable_x64(dtype == "float64"):
        return jax.device_get(_train(jnp.dtype(dtype), 1, False))


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_steps_are_those_of_whole_tables(devices):
    with jax.enable_x64(True):
        got = jax.device_get(_train(jnp.dtype("float64"), devices, True))
    for a, b in zip(
        jax.tree.leaves(got), jax.tree.leaves(_whole("float64")), strict=True
    ):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_steps_are_those_of_whole_tables_in_float32():
    got = jax.device_get(_train(jnp.dtype("float32"), 4, True))
    for a, b in zip(
        jax.tree.leaves(got), jax.tree.leaves(_whole("float32")), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def _compiled(num_images, shard_tables=True, devices=4):
    mesh, state, train_step, _ = _start(jnp.float32, devices, shard_tables, num_images)
    batch = {
        "index": np.zeros(B, np.int32),
        "image": np.zeros((B, *SIZE, 3), np.uint8),
    }
    compiled = train_step.lower(state, None, shard_batch(batch, mesh)).compile()
    return compiled, state


def test_no_collective_moves_a_table():
    small, large = _compiled(64)[0].as_text(), _compiled(4096)[0].as_text()
    sent = collective_bytes(small)
    assert sent == collective_bytes(large)
    assert {"all-reduce", "all-gather", "reduce-scatter"} >= sent.keys()
    whole = collective_bytes(_compiled(64, shard_tables=False)[0].as_text())
    # The examples go to the rows once; what comes back is a part of it, and k numbers.
    B_local, D, U, d = B // 4, 12, 2, 8
    back = 4 * B_local * (2 * D + U * d)
    nearest = 4 * 4 * B * U * K
    statistics = 4 * B * (1 + U + 2 + U)
    extra = sum(sent.values()) - sum(whole.values())
    assert extra == back + nearest + statistics


def test_each_device_holds_its_rows_alone():
    compiled, state = _compiled(4096)
    for table, rows in ((state.cluster_memory, 0), (state.patch_memory, 1)):
        assert {s.data.shape[rows] for s in table.addressable_shards} == {1024}
    cut, whole = (
        x.memory_analysis().argument_size_in_bytes
        for x in (compiled, _compiled(4096, shard_tables=False)[0])
    )
    tables_bytes = 4 * 4096 * (2 * 12 + 2 * 8)
    assert whole - cut == tables_bytes * 3 // 4


def test_padding_comes_and_goes():
    mesh, state, *_ = _start(jnp.float32, 8, True)
    assert state.cluster_memory.shape == (48, 12)
    assert state.patch_memory.shape == (2, 48, 8)
    back = with_whole_tables(state)
    assert back.centres.shape == (N, 12)
    assert not np.asarray(state.patch_memory)[:, N:].any()
    again = place_state(back, mesh, shard_tables=True)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        if not jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(a, b)


def test_checkpoints_do_not_show_how_tables_lay(tmp_path):
    digests = []
    for devices, shard_tables in ((1, False), (4, True), (8, True)):
        _, state, *_ = _start(jnp.float32, devices, shard_tables)
        folder = tmp_path / f"{devices}"
        writer = Checkpoints(folder)
        writer.save(with_whole_tables(state), {"epochs": []})
        writer.close()
        (item,) = folder.rglob("history/metadata")
        digests.append(item.read_text())
    assert digests[0] == digests[1] == digests[2]


# The paper's rate: larger ones magnify rounding step by step.
SMALL = SMALL_RUN | {
    "dataset": "market1501",
    "devices": 4,
    "limit": 23,
    "learning_rate": 1e-4,
    "epochs": 3,
    "merge_start": 1,
    "merge_stop": 2,
}


def _fit(folder, data, **changes):
    given = {"data_dir": str(data), "workdir": str(folder)}
    return loop.fit(presets.resolve(SMALL | given | changes), quiet=True)


@pytest.fixture(scope="module")
def plain(drawn_folder, tmp_path_factory):
    return _fit(tmp_path_factory.mktemp("plain") / "run", drawn_folder)


def _assert_alike(run, other, rtol):
    assert run.clusters.tolist() == other.clusters.tolist()
    for a, b in zip(run.history, other.history, strict=True):
        for name in a.keys() & b.keys():  # a part of a run is evaluated at its end
            assert a[name] == pytest.approx(b[name], rel=rtol, abs=rtol), name


def test_a_run_with_cut_tables_is_the_run_with_whole_ones(
    plain, drawn_folder, tmp_path
):
    run = _fit(tmp_path / "run", drawn_folder, shard_tables=True)
    assert len(run.names) % 4  # so that the tables were padded
    assert run.history[-1].keys() == plain.history[-1].keys()
    _assert_alike(run, plain, 1e-5)


def test_a_run_may_go_on_with_tables_laid_otherwise(plain, drawn_folder, tmp_path):
    folder = tmp_path / "run"
    _fit(folder, drawn_folder, epochs=1)
    _fit(folder, drawn_folder, epochs=2, shard_tables=True, devices=8, resume=True)
    run = _fit(folder, drawn_folder, resume=True)
    _assert_alike(run, plain, 1e-3)


class Wide(nn.Module):
    """Features wide enough that the losses read their tables block by block."""

    @nn.compact
    def __call__(self, images, *, train):
        mean = images.mean(axis=(1, 2))
        patches = nn.Dense(2 * 64, name="patch_heads")(mean).reshape(-1, 2, 64)
        return Features(unit(nn.Dense(256)(mean)), unit(patches.swapaxes(0, 1)))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_step_holds_no_copy_of_a_table(devices):
    num_images = 40_000
    variables = Wide().init(jax.random.key(0), jnp.zeros((1, *SIZE, 3)), train=False)
    optimizer = sgd(variables)

    def first():
        return create(
            variables=variables | {"batch_stats": {}},
            optimizer=optimizer,
            global_features=jnp.zeros((num_images, 256)),
            patches=jnp.zeros((2, num_images, 64)),
            seed=0,
        )

    cut = devices > 1
    config = Config(shard_tables=cut, crop=False, flip=False)
    mapped = step.mapped_train_step(
        step.make_train_step(Wide(), optimizer, config, 2),
        make_mesh(devices),
        specs(shard_tables=cut),
    )
    batch = {
        "index": jax.ShapeDtypeStruct((B,), jnp.int32),
        "image": jax.ShapeDtypeStruct((B, *SIZE, 3), jnp.uint8),
    }
    compiled = mapped.lower(jax.eval_shape(first), None, batch).compile()
    smallest = 4 * num_images * 2 * 64 // devices
    assert compiled.memory_analysis().temp_size_in_bytes < smallest
