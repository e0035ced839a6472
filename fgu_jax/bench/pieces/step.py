"""The whole training step, beside the same network, losses and memories in PyTorch."""

import itertools
import statistics

import jax
import numpy as np

from fgu_jax import networks
from fgu_jax.bench.features import unit_rows
from fgu_jax.bench.measure import Work, close
from fgu_jax.bench.rivals import plain_network
from fgu_jax.bench.sizes import Step
from fgu_jax.bench.training import (
    begin,
    forward_operations,
    new_variables,
    rested_variables,
)
from fgu_jax.config import Config
from fgu_jax.errors import InputError
from fgu_jax.parallel.mesh import make_mesh, replicate, shard_batch
from fgu_jax.training.step import mapped_train_step

_PATCH_DIM = 256
_RATE = 1e-4
_RESIDENT = 256  # images that are kept; rows beyond them show these again


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
    config = Config(
        backbone=sizes.backbone,
        image_height=sizes.height,
        image_width=sizes.width,
        num_patches=sizes.patches,
        patch_dim=_PATCH_DIM,
        precision=sizes.precision,  # type: ignore[arg-type]
        batch_size=sizes.batch,
        learning_rate=_RATE,
        lr_drop_epoch=None,
        crop=False,
        flip=False,
        keep_statistics=bool(sizes.keep_statistics),
    )
    if config.keep_statistics:
        variables = rested_variables(config, images[: sizes.batch])
    else:
        variables = jax.device_get(new_variables(config))
    rivals = {}
    plain = plain_network(config, variables)
    if plain is not None:
        from fgu_jax.bench.rivals.network import train_step

        rivals["PyTorch"] = train_step(
            plain,
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
            f"{sizes.batch}, N {sizes.images:,}, {sizes.precision}"
            + ", statistics kept"
            * config.keep_statistics,
            run=_ours(config, variables, images, batches, tables),
            rivals=rivals,
            check=_check(sizes),
            operations=3 * forward_operations(config, sizes.batch),
            items=sizes.batch,
            notes=(
                "the floor is three forward passes at the rate of products",
                "no augmentation on either side",
            ),
        )
    ]


def _ours(config, variables, images, batches, tables):
    mesh = make_mesh(1)
    one, state = begin(config, variables, mesh, **tables)

    def shown(state, images, batch):  # rows of the tables beyond the images kept
        return one(state, None, batch | {"image": images[batch["index"] % _RESIDENT]})

    mapped = mapped_train_step(shown, mesh)
    held = [state]
    resident = replicate(images, mesh)
    turns = itertools.cycle(batches)

    def work():
        batch = shard_batch({"index": next(turns)}, mesh)
        held[0], losses = mapped(held[0], resident, batch)
        return losses["loss"]

    return work


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
