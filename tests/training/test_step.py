"""The train step on 1, 2, 4, 8 devices, under pmap, and without recompilation."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax import memory
from fgu_jax.config import TRACED, Config
from fgu_jax.inference.passes import Embedding
from fgu_jax.merging import merge_clusters
from fgu_jax.networks.heads import PatchHeads, unit
from fgu_jax.networks.network import Features
from fgu_jax.parallel.mesh import AXIS, make_mesh, replicate, shard_batch
from fgu_jax.training import step
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.state import create, with_clusters

N, B, U = 48, 16, 2
SIZE = (32, 16)


def _images(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, *SIZE, 3), np.uint8)


class Small(nn.Module):
    """One convolution and the package's own heads: compiles in a second."""

    dtype: object
    axis_name: str | None

    @nn.compact
    def __call__(self, images, *, train):
        kinds = {"dtype": self.dtype, "param_dtype": self.dtype}
        x = nn.Conv(12, (4, 4), strides=4, use_bias=False, name="conv", **kinds)(images)
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            axis_name=self.axis_name,
            **kinds,
        )
        x = nn.relu(norm(name="bn")(x))
        stripes = x.reshape(len(x), U, -1, 12).mean(axis=2).swapaxes(0, 1)
        heads = PatchHeads(8, self.dtype, norm, name="patch_heads")
        return Features(unit(x.mean(axis=(1, 2))), unit(heads(stripes)))


def _network(axis_name, dtype):
    return Small(dtype=dtype, axis_name=axis_name)


def sgd(variables):
    """SGD by the paper, without decay, so that its first momentum is the gradient."""
    float64 = jax.tree.leaves(variables["params"])[0].dtype == jnp.float64
    # The paper's rate in float32: larger ones magnify rounding step by step.
    rate = 0.01 if float64 else 1e-4
    config = Config(learning_rate=rate, lr_drop_epoch=None, weight_decay=0.0)
    return make_optimizer(config, variables, 1)


def _start(dtype, devices):
    """Network, optimiser and first state, with memories from a first pass."""
    mesh = make_mesh(devices)
    images = _images()
    network = _network(AXIS, dtype)
    variables = network.init(
        jax.random.key(0), jnp.zeros((1, *SIZE, 3), dtype), train=False
    )
    optimizer = sgd(variables)
    embedding = Embedding(_network(None, dtype), mesh)
    features, patches = embedding(replicate(variables, mesh), images)
    state = create(
        variables=variables,
        optimizer=optimizer,
        global_features=features,
        patches=patches,
        seed=3,
    )
    config = Config(num_neighbors=5, color_jitter=0.3, erasing=0.5)
    one = step.make_train_step(network, optimizer, config, N // B)
    return mesh, images, embedding, state, one


def _batches(count):
    rng = np.random.default_rng(1)
    return [rng.permutation(N)[:B].astype(np.int32) for _ in range(count)]


def _train(dtype, devices, *, host_images=False):
    """20 steps with a merge after the tenth: losses, first gradient, last state."""
    mesh, images, embedding, state, one = _start(dtype, devices)
    traces = []

    def counted(*args):
        traces.append(1)
        return one(*args)

    train_step = step.mapped_train_step(counted, mesh)
    state = replicate(state, mesh)
    resident = None if host_images else replicate(images, mesh)
    losses, gradient = [], None
    for k, index in enumerate(_batches(20)):
        batch = {"index": index}
        if host_images:
            batch["image"] = images[index]
        state, loss = train_step(state, resident, shard_batch(batch, mesh))
        losses.append(jax.device_get(loss))
        if k == 0:  # without decay, SGD's first momentum is the gradient
            gradient = jax.device_get(jax.tree.leaves(state.opt_state))
        if k == 9:
            network = {"params": state.params, "batch_stats": state.batch_stats}
            features = embedding(network, images)[0]
            labels = merge_clusters(features, np.asarray(state.labels), 20)
            state = replicate(with_clusters(state, labels, features), mesh)
    tables = {
        name: jax.device_get(getattr(state, name))
        for name in ("cluster_memory", "centres", "patch_memory", "labels")
    }
    return losses, gradient, tables, jax.device_get(state.params), len(traces)


@functools.cache
def _trained(dtype, devices):
    with jax.enable_x64(dtype == "float64"):
        return _train(jnp.dtype(dtype), devices)


def _assert_close(a, b, rtol, atol):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_agree_in_float64(devices):
    one, many = _trained("float64", 1), _trained("float64", devices)
    assert one[2]["patch_memory"].dtype == np.float64
    for a, b in zip(one[:4], many[:4], strict=True):
        _assert_close(a, b, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(one[2]["labels"], many[2]["labels"])


def test_devices_agree_in_float32():
    one, many = _trained("float32", 1), _trained("float32", 4)
    for a, b in zip(one[:3], many[:3], strict=True):
        _assert_close(a, b, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(one[2]["labels"], many[2]["labels"])


def test_no_merge_recompiles_the_step():
    assert _trained("float32", 4)[4] == 1


def test_images_from_the_host_train_alike():
    resident = _trained("float32", 4)
    host = _train(jnp.float32, 4, host_images=True)
    for a, b in zip(resident[:4], host[:4], strict=True):
        _assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_attracted_loss_starts_with_the_first_merge():
    losses = _trained("float32", 1)[0]
    assert all(loss["loss_attracted"] == 0 for loss in losses[:10])
    assert all(loss["loss_attracted"] > 0 for loss in losses[10:])


def test_total_is_eq_7():
    for loss in _trained("float64", 1)[0]:
        total = loss["loss_repelled"] + loss["loss_attracted"]
        total += 0.8 * loss["loss_patch"]
        np.testing.assert_allclose(loss["loss"], total, rtol=1e-12)


def test_weights_are_numbers_of_one_program():
    """As if compiled in, for weights that differ; the step is traced once."""
    with jax.enable_x64(True):
        mesh, images, _, state, one = _start(jnp.float64, 2)
        wide = jax.tree.map(jnp.float64, state.batch_stats)  # a loop keeps types
        merged = {
            "labels": state.labels.at[-1].set(0),
            "num_clusters": jnp.int32(N - 1),
        }
        state = state.replace(batch_stats=wide, **merged)
        traces = []

        def counted(*args):
            traces.append(1)
            return one(*args)

        mapped = step.mapped_train_step(counted, mesh)
        by_chunk = step.chunked_train_step(one, mesh)
        index = _batches(1)[0]

        def fresh():
            return replicate(jax.tree.map(jnp.copy, state), mesh)

        found = {}
        for weights in ((1.0, 0.5, 0.8), (0.0, 0.0, 2.0), (3.0, 2.0, 0.25)):
            named = dict(zip(TRACED, weights, strict=True))
            batch = shard_batch({"index": index}, mesh)
            after, loss = mapped(fresh(), images, batch, named)
            found[weights] = jax.device_get((after.params, loss))
            rows = shard_batch(index[None], mesh, axis=1)
            after, losses = by_chunk(fresh(), images, rows, np.int32(1), named)
            loss = {name: values[0] for name, values in losses.items()}
            chunk = jax.device_get((after.params, loss))
            _assert_close(chunk, found[weights], rtol=1e-9, atol=1e-12)
        assert len(traces) == 1
        first, without, other = (loss for _, loss in found.values())
        np.testing.assert_allclose(without["loss"], 2 * first["loss_patch"], rtol=1e-12)
        assert first["loss_attracted"] > 0
        rafl = first["loss_repelled"] + 4 * first["loss_attracted"]
        wanted = 3 * rafl + 0.25 * first["loss_patch"]
        np.testing.assert_allclose(other["loss"], wanted, rtol=1e-12)
        batch = shard_batch({"index": index}, mesh)
        after, loss = step.mapped_train_step(one, mesh)(fresh(), images, batch)
        compiled_in = jax.device_get((after.params, loss))
        _assert_close(compiled_in, found[1.0, 0.5, 0.8], rtol=1e-9, atol=1e-12)


def test_the_step_runs_unchanged_under_pmap():
    devices = 4
    mesh, images, _, state, one = _start(jnp.float32, devices)
    mapped = step.mapped_train_step(one, mesh)
    pmapped = jax.pmap(one, axis_name=AXIS, in_axes=(None, None, 0), out_axes=None)
    a, b = replicate(jax.tree.map(jnp.copy, state), mesh), state
    for index in _batches(3):
        a, loss_a = mapped(a, images, shard_batch({"index": index}, mesh))
        b, loss_b = pmapped(b, images, {"index": index.reshape(devices, -1)})
    _assert_close(jax.device_get(loss_a), jax.device_get(loss_b), rtol=1e-6, atol=0)
    key_a, key_b = jax.random.key_data(a.key), jax.random.key_data(b.key)
    a, b = a.replace(key=key_a), b.replace(key=key_b)
    _assert_close(jax.device_get(a), jax.device_get(b), rtol=1e-5, atol=1e-6)


REFINED = {"patch_loss": "clusters", "refine": 0.5, "smooth_patches": 1.0}
OF_IMAGES = {"memory_rows": "images", "memory_rate": 0.8, "num_neighbors": 5}
OPTIONS = {
    "refined": REFINED,
    "memory of images": OF_IMAGES,
    "their means": {"num_neighbors": 5},  # V with a row a cluster
}


@functools.cache
def _optional(devices, name):
    """Three steps with other options, in float64: the losses, and the last tables."""
    with jax.enable_x64(True):
        mesh, images, _, state, _ = _start(jnp.float64, devices)
        rng = np.random.default_rng(2)
        state = state.replace(
            labels=jnp.arange(N, dtype=jnp.int32) // 4,
            num_clusters=jnp.int32(N // 4),
            agreement=jnp.asarray(rng.uniform(size=(U, N)), jnp.float32),
        )
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        if name == "their means":
            means = memory.means_by_cluster(state.cluster_memory, state.labels)
            state = state.replace(cluster_memory=means)
        options = OPTIONS[name]
        config = Config(flip=False, crop=False, **options)
        network = _network(AXIS, jnp.float64)
        one = step.make_train_step(network, sgd(variables), config, N // B)
        train_step = step.mapped_train_step(one, mesh)
        state, losses = replicate(state, mesh), []
        resident = replicate(images, mesh)
        for index in _batches(3):
            batch = shard_batch({"index": index}, mesh)
            state, loss = train_step(state, resident, batch)
            losses.append(jax.device_get(loss))
        return losses, jax.device_get((state.cluster_memory, state.patch_memory))


@pytest.mark.parametrize("devices", [2, 8])
@pytest.mark.parametrize("name", ["refined", "memory of images"])
def test_options_are_the_same_on_any_devices(name, devices):
    one, several = (_optional(count, name) for count in (1, devices))
    _assert_close(one, several, rtol=1e-9, atol=1e-10)


def test_a_memory_of_images_moves_the_rows_of_the_batch():
    """Rows of images in no batch stay; the first loss is of the clusters' means."""
    losses, (rows, _) = _optional(1, "memory of images")
    with jax.enable_x64(True):
        _, _, _, state, _ = _start(jnp.float64, 1)
    before = np.asarray(state.cluster_memory)
    seen = np.unique(np.concatenate(_batches(3)))
    same = (rows == before).all(axis=1)
    assert not same[seen].any()
    assert same[np.setdiff1d(np.arange(N), seen)].all()
    wanted = _optional(1, "their means")[0]
    _assert_close(losses[0], wanted[0], rtol=1e-9, atol=1e-10)
    assert losses[1]["loss_repelled"] != wanted[1]["loss_repelled"]


def test_a_temperature_that_changes_is_that_of_the_step():
    """Two steps whose tau goes from 0.1 to 0.4; each as a run that has only its own."""
    mesh, images, _, start, _ = _start(jnp.float32, 1)
    variables = {"params": start.params, "batch_stats": start.batch_stats}
    resident, (first, second) = replicate(images, mesh), _batches(2)

    def train(config, state, index):
        network = _network(AXIS, jnp.float32)
        one = step.make_train_step(network, sgd(variables), config, 1)
        # Donated: what is taken is a copy.
        state = replicate(jax.tree.map(jnp.copy, state), mesh)
        batch = shard_batch({"index": index}, mesh)
        return step.mapped_train_step(one, mesh)(state, resident, batch)

    given = {"num_neighbors": 5, "crop": False, "flip": False}
    plain = Config(**given)
    changing = Config(**given, last_temperature=0.4, last_temperature_epoch=2)
    state, losses = train(changing, start, first)
    wanted, expected = train(plain, start, first)
    _assert_close(losses, expected, rtol=1e-5, atol=1e-6)
    _, losses = train(changing, state, second)
    at_its_own = Config(**given, temperature=0.2)
    _, expected = train(at_its_own, wanted, second)
    _assert_close(losses, expected, rtol=1e-4, atol=1e-5)
    assert abs(float(train(plain, wanted, second)[1]["loss"] - losses["loss"])) > 0.1
