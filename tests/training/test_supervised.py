"""The step with labels: its losses, and the same gradients on 1, 2 and 4 devices."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgu_jax.config import Config
from fgu_jax.losses import batch_hard_triplet, identity_loss
from fgu_jax.networks.heads import unit
from fgu_jax.networks.network import Features
from fgu_jax.parallel.mesh import AXIS, make_mesh, replicate, shard_batch
from fgu_jax.training import supervised
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.step import mapped_train_step

N, B, C, U = 24, 8, 6, 2
SIZE = (8, 4)
CONFIG = Config(
    method="supervised",
    learning_rate=0.01,
    lr_drop_epoch=None,
    weight_decay=0.0,
    temperature=0.2,
    triplet_margin=0.5,
    images_a_cluster=2,
)


class Small(nn.Module):
    """A layer with BatchNorm over the devices, and features of the two widths."""

    axis_name: str | None

    @nn.compact
    def __call__(self, images, *, train):
        kinds = {"dtype": images.dtype, "param_dtype": images.dtype}
        x = nn.Dense(10, name="backbone", **kinds)(images.reshape(len(images), -1))
        norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, axis_name=self.axis_name
        )
        x = nn.tanh(norm(name="bn", **kinds)(x))
        patches = x.reshape(len(x), U, 5).swapaxes(0, 1)
        return Features(unit(x), unit(patches))


def _start():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, *SIZE, 3), np.uint8)
    variables = Small(None).init(
        jax.random.key(0), jnp.zeros((1, *SIZE, 3), jnp.float64), train=False
    )
    classifiers = {
        "global": jnp.asarray(rng.normal(size=(C, 10))),
        "patches": jnp.asarray(rng.normal(size=(U, C, 5))),
    }
    labels = np.arange(N) % C
    everything = {"params": supervised.trained(variables["params"], classifiers)}
    optimizer = make_optimizer(CONFIG, everything, N // B)
    state = supervised.create(
        variables, classifiers, labels, optimizer=optimizer, seed=3
    )
    return images, labels, state, optimizer


def _index():
    rng = np.random.default_rng(1)
    people = rng.permutation(C)[: B // 2]
    return np.array([row for y in people for row in (y, y + C)], np.int32)


@functools.cache
def _stepped(devices):
    with jax.enable_x64(True):
        images, _, state, optimizer = _start()
        mesh = make_mesh(devices)
        one = supervised.make_supervised_step(Small(AXIS), optimizer, CONFIG, N // B)
        step = mapped_train_step(one, mesh)
        batch = shard_batch({"index": _index()}, mesh)
        state, means = step(replicate(state, mesh), replicate(images, mesh), batch)
        # Without decay, SGD's first momentum is the gradient.
        gradient = jax.tree.leaves(state.opt_state)
        left = (state.params, state.classifiers, state.batch_stats, state.sums)
        return jax.device_get((means, gradient, left))


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_agree(devices):
    one, many = _stepped(1), _stepped(devices)
    leaves = jax.tree.leaves(one[1])
    assert len([x for x in leaves if np.abs(x).max() > 1e-6]) >= 6
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), one, many
    )


def test_losses_are_means_over_the_global_and_the_patch_features():
    means = _stepped(1)[0]
    with jax.enable_x64(True):
        images, labels, state, _ = _start()
        index = _index()
        pixels = supervised.augmented(
            CONFIG,
            jnp.asarray(images),
            {"index": index},
            keys=supervised.image_keys(state.key, 0, index),
            dtype=jnp.float64,
        )
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        features, _ = Small(None).apply(
            variables, pixels, train=True, mutable=["batch_stats"]
        )
        rows, of = features.global_features, jnp.asarray(labels[index])
        like = {"temperature": 0.2, "smoothing": 0.1}
        parts = [identity_loss(rows, state.classifiers["global"], of, **like)]
        for x, w in zip(features.patches, state.classifiers["patches"], strict=True):
            parts.append(identity_loss(x, w, of, **like))
        identity = jnp.mean(jnp.stack(parts))
        triplet = jnp.mean(batch_hard_triplet(rows, of, rows, of, margin=0.5))
        table = state.classifiers["global"]
        table = table / jnp.linalg.norm(table, axis=1, keepdims=True)
        right = jnp.mean(jnp.argmax(rows @ table.T, axis=1) == of)
        identity, triplet, right = map(float, (identity, triplet, right))
    assert triplet > 0
    wanted = {"loss": identity + triplet, "loss_identity": identity}
    wanted |= {"loss_triplet": triplet, "accuracy": right}
    for name, value in wanted.items():
        np.testing.assert_allclose(means[name], value, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(_stepped(1)[2][3][name], value, rtol=1e-6)


def test_classifiers_have_the_rate_of_the_heads():
    with jax.enable_x64(True):
        _, _, state, _ = _start()
        both = supervised.trained(state.params, state.classifiers)
        frozen = Config(learning_rate=0.0, head_learning_rate=1.0, weight_decay=0.0)
        optimizer = make_optimizer(frozen, {"params": both}, 1)
        ones = jax.tree.map(jnp.ones_like, both)
        updates, _ = optimizer.update(ones, optimizer.init(both), both)
        updates = jax.device_get(updates)
    assert np.abs(updates["backbone"]["kernel"]).max() == 0
    for update in jax.tree.leaves(updates["classifiers"]):
        np.testing.assert_allclose(update, -1)
