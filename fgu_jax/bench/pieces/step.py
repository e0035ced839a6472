"""The whole training step, beside the same network, losses and memories in PyTorch."""

import dataclasses
import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax import networks
from fgu_jax.bench.features import unit_rows
from fgu_jax.bench.machine import Rates
from fgu_jax.bench.measure import Options, Work, close, measure
from fgu_jax.bench.rivals import torch_losses as plain_torch
from fgu_jax.bench.sizes import Step
from fgu_jax.config import Config
from fgu_jax.errors import InputError
from fgu_jax.parallel.mesh import AXIS, make_mesh, replicate, shard_batch
from fgu_jax.progress import Progress
from fgu_jax.training import step
from fgu_jax.training.optimizer import make_optimizer
from fgu_jax.training.state import create

_PATCH_DIM = 256
_RATE = 1e-4
_RESIDENT = 256  # images that are kept; rows beyond them show these again
_RIVAL_BACKBONES = ("resnet50", "resnet18")


def works(sizes: Step) -> list[Work]:
    """One row."""
    if sizes.precision not in ("float32", "bfloat16"):
        raise InputError(
            f"precision is {sizes.precision!r}: choose float32 or bfloat16"
        )
    networks.check_num_patches(sizes.backbone, sizes.height, sizes.width, sizes.patches)
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (_RESIDENT, sizes.height, sizes.width, 3), np.uint8)
    batches = np.stack(
        [rng.permutation(sizes.images)[: sizes.batch] for _ in range(16)]
    ).astype(np.int32)
    tables = {
        "cluster_memory": unit_rows(
            rng, (sizes.images, networks.global_dim(sizes.backbone))
        ),
        "patch_memory": unit_rows(rng, (sizes.patches, sizes.images, _PATCH_DIM)),
    }
    config = Config(crop=False, flip=False)
    variables = _variables(sizes)
    rivals = {}
    if plain_torch.available() and sizes.backbone in _RIVAL_BACKBONES:
        from fgu_jax.bench.rivals import network as plain_network

        network = plain_network.Network(sizes.backbone, sizes.patches, _PATCH_DIM)
        plain_network.copy_weights(network, variables)
        rivals["PyTorch"] = plain_network.train_step(
            network,
            images,
            batches,
            tables,
            config,
            learning_rate=_RATE,
            narrow=sizes.precision == "bfloat16",
        )
    return [
        Work(
            what=f"{sizes.backbone}, {sizes.height} x {sizes.width}, batch "
            f"{sizes.batch}, N {sizes.images:,}, {sizes.precision}",
            run=_ours(sizes, variables, images, batches, tables, config),
            rivals=rivals,
            check=_check(sizes),
            operations=3 * _forward_operations(sizes, variables),
            items=sizes.batch,
            notes=(
                "the floor is three forward passes at the rate of products",
                "no augmentation on either side",
            ),
        )
    ]


def run(
    sizes: Step, rates: Rates, options: Options, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Measures the piece."""
    return measure("step", sizes, works(sizes), rates, options, progress)


def _network(sizes: Step, axis_name: str | None = None) -> networks.Network:
    return networks.build(
        sizes.backbone,
        num_patches=sizes.patches,
        patch_dim=_PATCH_DIM,
        dtype=jnp.dtype(sizes.precision),
        axis_name=axis_name,
    )


def _variables(sizes: Step) -> dict[str, Any]:
    def initialise(key):
        image = jnp.zeros((1, sizes.height, sizes.width, 3))
        return _network(sizes).init(key, image, train=False)

    return jax.device_get(jax.jit(initialise)(jax.random.key(0)))


def _ours(sizes, variables, images, batches, tables, config):
    mesh = make_mesh(1)
    config = dataclasses.replace(config, learning_rate=_RATE, lr_drop_epoch=None)
    optimizer = make_optimizer(config, variables, sizes.images // sizes.batch)
    state = create(
        variables=variables,
        optimizer=optimizer,
        global_features=tables["cluster_memory"],
        patches=tables["patch_memory"],
        seed=0,
    )
    one = step.make_train_step(
        _network(sizes, AXIS), optimizer, config, sizes.images // sizes.batch
    )

    def shown(state, images, batch):  # rows of the tables beyond the images kept
        return one(state, None, batch | {"image": images[batch["index"] % _RESIDENT]})

    mapped = step.mapped_train_step(shown, mesh)
    held = [replicate(state, mesh)]
    resident = replicate(images, mesh)
    turn = [0]

    def work():
        batch = {"index": batches[turn[0] % len(batches)]}
        turn[0] += 1
        held[0], losses = mapped(held[0], resident, shard_batch(batch, mesh))
        return losses["loss"]

    return work


def _forward_operations(sizes: Step, variables: dict[str, Any]) -> float:
    images = jax.ShapeDtypeStruct(
        (sizes.batch, sizes.height, sizes.width, 3), jnp.float32
    )

    def forward(variables, images):
        return _network(sizes).apply(variables, images, train=False)

    cost: Any = jax.jit(forward).lower(variables, images).cost_analysis()
    return float(cost["flops"])


def _check(sizes: Step):
    # Rounding to 8 bits differs between the two, and grows through the network.
    rtol = 2e-2 if sizes.precision == "bfloat16" else 1e-3

    def check(results):
        mine = float(results["fgu_jax"])
        for name, other in results.items():
            close(mine, float(other), f"first loss of {name}", rtol=rtol)
        others = statistics.mean(float(value) for value in results.values())
        return f"first loss {mine:.5f}, mean over all {others:.5f}"

    return check
