"""A process that trains a few steps on simulated devices and says what it found."""

import functools
import json
import sys
import time
from typing import Any

import jax
import numpy as np

from fgu_jax.bench.features import unit_rows
from fgu_jax.bench.pieces.collectives import collective_bytes, predicted_bytes
from fgu_jax.bench.sizes import Scale
from fgu_jax.bench.training import begin, new_variables
from fgu_jax.config import presets
from fgu_jax.inference.network import build_network
from fgu_jax.networks import global_dim
from fgu_jax.parallel.mesh import make_mesh, replicate, shard_batch
from fgu_jax.training.step import mapped_train_step


def main() -> None:
    """Reads ``[sizes, devices]`` as JSON, prints what was found as JSON."""
    sizes, count = json.loads(sys.stdin.read())
    print(json.dumps(train(Scale(**sizes), count)))


def train(sizes: Scale, count: int) -> dict[str, Any]:
    """Losses, tables, seconds and bytes of a few steps on ``count`` devices."""
    config = presets.resolve(
        {
            "dataset": "synthetic",
            "backbone": sizes.backbone,
            "image_height": sizes.height,
            "image_width": sizes.width,
            "num_patches": sizes.patches,
            "batch_size": sizes.batch,
            "learning_rate": 1e-4,  # larger ones magnify rounding step by step
        }
    )
    mesh = make_mesh(count)
    rng = np.random.default_rng(10)
    shape = (sizes.images, sizes.height, sizes.width, 3)
    images = rng.integers(0, 256, shape, np.uint8)
    variables = new_variables(config)
    one, state = begin(
        config,
        variables,
        mesh,
        cluster_memory=unit_rows(rng, (sizes.images, global_dim(sizes.backbone))),
        patch_memory=unit_rows(rng, (sizes.patches, sizes.images, config.patch_dim)),
    )
    mapped: Any = mapped_train_step(one, mesh)
    resident = replicate(images, mesh)
    batches = [
        {"index": rng.permutation(sizes.images)[: sizes.batch].astype(np.int32)}
        for _ in range(sizes.steps)
    ]
    first = shard_batch(batches[0], mesh)
    compiled = mapped.lower(state, resident, first).compile()
    network = functools.partial(build_network(config).apply, train=False)
    features = jax.eval_shape(network, variables, images[:1].astype(np.float32))
    losses, seconds = [], []
    for batch in batches:
        start = time.perf_counter()
        state, found = compiled(state, resident, shard_batch(batch, mesh))
        losses.append(float(found["loss"]))
        seconds.append(time.perf_counter() - start)
    return {
        "losses": losses,
        "seconds": seconds,
        # Sums over rows: enough to see that no row went elsewhere, and short.
        "cluster_memory": _sums(state.cluster_memory),
        "patch_memory": _sums(state.patch_memory),
        "sent": collective_bytes(compiled.as_text()),
        "predicted": predicted_bytes(variables, sizes.batch, features),
    }


def _sums(table: jax.Array) -> list[float]:
    rows = np.asarray(table, np.float64)
    weights = np.cos(np.arange(rows.shape[-2]))
    return (weights @ rows).ravel()[:64].tolist()


if __name__ == "__main__":
    main()
