"""Updates of both tables in place, beside a loop over samples in PyTorch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax import memory
from fgu_jax.bench.features import unit_rows
from fgu_jax.bench.measure import Work, close, same_as
from fgu_jax.bench.rivals import torch_losses as plain_torch
from fgu_jax.bench.sizes import Memory

_RATE = 0.1


def works(sizes: Memory) -> list[Work]:
    """V, then W."""
    return [_clusters(sizes), _patches(sizes)]


def _clusters(sizes: Memory) -> Work:
    rng = np.random.default_rng(6)
    table = unit_rows(rng, (sizes.images, sizes.global_width))
    labels = rng.integers(0, sizes.images, sizes.batch).astype(np.int32)
    labels[-1] = labels[0]  # one cluster comes twice
    v = unit_rows(rng, (sizes.batch, sizes.global_width))
    update = jax.jit(memory.update_cluster_memory, donate_argnums=0)
    rivals = {}
    if plain_torch.available():
        rivals["PyTorch, as BUC"] = plain_torch.cluster_memory(table, v, labels)
    return Work(
        what=f"V {sizes.images:,} x {sizes.global_width}, B {sizes.batch}",
        run=_in_place(update, table, v, labels),
        rivals=rivals,
        check=_check(labels, lambda table, rows: table[rows]),
        moved=4.0 * 3 * v.size,
    )


def _patches(sizes: Memory) -> Work:
    rng = np.random.default_rng(7)
    table = unit_rows(rng, (sizes.patches, sizes.images, sizes.width))
    indices = rng.permutation(sizes.images)[: sizes.batch].astype(np.int32)
    x = unit_rows(rng, (sizes.patches, sizes.batch, sizes.width))

    def update(table, x, indices):
        return memory.update_patch_memory(table, x, indices, rate=_RATE)

    rivals = {}
    if plain_torch.available():
        rivals["PyTorch"] = plain_torch.patch_memory(table, x, indices, _RATE)
    return Work(
        what=f"W {sizes.patches} x {sizes.images:,} x {sizes.width}, B {sizes.batch}",
        run=_in_place(jax.jit(update, donate_argnums=0), table, x, indices),
        rivals=rivals,
        check=_check(indices, lambda table, rows: table[:, rows]),
        moved=4.0 * 3 * x.size,
    )


def _in_place(update: Callable, table, values, rows) -> Callable[[], jax.Array]:
    held = [jnp.array(table)]
    values, rows = jnp.asarray(values), jnp.asarray(rows)

    def work():
        held[0] = update(held[0], values, rows)
        return held[0]

    return work


def _check(rows, taken: Callable) -> Callable:
    def check(results):
        mine = taken(np.asarray(results["fgu_jax"]), rows)
        for name, other in results.items():
            close(mine, taken(np.asarray(other), rows), f"table of {name}")
        return same_as(results, "rows of the batch")

    return check
