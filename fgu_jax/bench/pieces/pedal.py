"""PEDAL forward and backward, beside PAUL's way; the repelled loss, beside BUC's."""

import jax
import jax.numpy as jnp
import numpy as np

from fgu_jax import losses
from fgu_jax.bench.features import unit_rows
from fgu_jax.bench.measure import Work, close, same_as
from fgu_jax.bench.rivals import torch_losses as plain_torch
from fgu_jax.bench.sizes import Pedal


def works(sizes: Pedal) -> list[Work]:
    """PEDAL; the repelled loss with all rows alive, and with few."""
    return [
        _pedal(sizes),
        _repelled(sizes, sizes.images),
        _repelled(sizes, min(sizes.clusters, sizes.images)),
    ]


def _pedal(sizes: Pedal) -> Work:
    n, b, u, d, k = (
        sizes.images,
        sizes.batch,
        sizes.patches,
        sizes.width,
        sizes.neighbors,
    )
    rng = np.random.default_rng(0)
    table = unit_rows(rng, (u, n, d))
    indices = rng.permutation(n)[:b].astype(np.int32)
    x = unit_rows(rng, (u, b, d), around=table[:, indices], spread=0.7)

    def of(block_rows):
        loss = lambda x, W, i: jnp.mean(  # noqa: E731
            losses.pedal_loss(
                x, W, i, scale=15.0, num_neighbors=k, block_rows=block_rows
            )
        )
        compiled = jax.jit(jax.value_and_grad(loss))
        arguments = tuple(map(jnp.asarray, (x, table, indices)))
        return lambda: compiled(*arguments)

    rivals = {"plain form": of(n)}
    if plain_torch.available():
        rivals["PyTorch, as PAUL"] = plain_torch.pedal(x, table, indices, 15.0, k)
    return Work(
        what=f"PEDAL, {u} x {b} patches, N {n:,}, d {d}, k {k}",
        run=of(None),
        rivals=rivals,
        check=_same,
        operations=2 * 2.0 * u * b * n * d,
        moved=4.0 * u * n * d,
    )


def _repelled(sizes: Pedal, alive: int) -> Work:
    n, b, d = sizes.images, sizes.global_batch, sizes.global_width
    rng = np.random.default_rng(1)
    table = unit_rows(rng, (n, d))
    labels = rng.integers(0, alive, b).astype(np.int32)
    v = unit_rows(rng, (b, d), around=table[labels], spread=0.7)

    def of(block_rows):
        loss = lambda v, V, y, c: jnp.mean(  # noqa: E731
            losses.repelled_loss(v, V, y, num_clusters=c, block_rows=block_rows)
        )
        compiled = jax.jit(jax.value_and_grad(loss))
        arguments = (*map(jnp.asarray, (v, table, labels)), jnp.int32(alive))
        return lambda: compiled(*arguments)

    rivals = {"plain form": of(n)}
    if plain_torch.available():
        rivals["PyTorch"] = plain_torch.repelled(v, table[:alive], labels, 0.1)
    return Work(
        what=f"repelled loss, B {b}, V {n:,} x {d}, C {alive:,}",
        run=of(None),
        rivals=rivals,
        check=_same,
        operations=2 * 2.0 * b * alive * d,
        moved=4.0 * alive * d,
    )


def _same(results) -> str:
    loss, gradient = results["fgu_jax"]
    for name, (other, other_gradient) in results.items():
        close(loss, other, f"loss of {name}")
        close(gradient, other_gradient, f"gradient of {name}", rtol=1e-3, atol=1e-6)
    return same_as(results, "loss and gradient")
