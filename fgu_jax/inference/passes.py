"""One evaluation-mode pass over images: features, and BatchNorm's first statistics."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fgu_jax.data import StreamedImages
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import AXIS, map_over_devices, shard_batch, shard_own
from fgu_jax.progress import Progress

BLOCK = 64  # images in a compiled call, whatever the number asked for at once
STATISTICS_IMAGES = 4096


class Embedding:
    """Compiled passes of one network over one mesh, by blocks of one fixed shape."""

    def __init__(self, network: Any, mesh: Mesh):
        count = mesh.devices.size
        self._mesh = mesh
        self._block = -(-BLOCK // count) * count
        whole = NamedSharding(mesh, P())
        self._gather = (
            jax.jit(lambda x: x, out_shardings=whole)
            if processes.several()
            else lambda x: x
        )
        self._embed = map_over_devices(
            make_embed_step(network),
            mesh,
            in_specs=(P(), P(AXIS)),
            out_specs=(P(AXIS), P(None, AXIS)),
        )

    def _fetch(self, features: tuple) -> tuple[np.ndarray, np.ndarray]:
        """NumPy arrays of all devices' rows, those of other processes too."""
        return jax.device_get(self._gather(features))

    def __call__(
        self,
        variables: dict,
        images: np.ndarray | StreamedImages,
        *,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features of all images, in evaluation mode.

        Args:
          variables: ``params`` and ``batch_stats``, on the mesh.
          images: uint8 [N, H, W, 3].
          progress: called with images done, N, and what is done.

        Returns:
          NumPy float [N, D] global and float [U, N, d] patch features, unit rows.
        """
        total = len(images)
        global_parts, patch_parts = [], []
        waiting: list = []

        def fetch():
            size, features = waiting.pop(0)
            v, x = self._fetch(features)
            global_parts.append(v[:size])
            patch_parts.append(x[:, :size])

        mine = processes.own_part(self._block, self._mesh)
        for start, block in _blocks(images, self._block, mine):
            size = min(self._block, total - start)
            features = self._embed(variables, shard_own(block, self._mesh))
            waiting.append((size, features))
            if len(waiting) > 1:  # the device works on one while the last is copied
                fetch()
            if progress:
                progress(start + size, total, "features")
        while waiting:
            fetch()
        return np.concatenate(global_parts), np.concatenate(patch_parts, axis=1)


PARTS = ("fused", "global", "local")  # the best of them first


def fused(global_features: Any, patches: Any) -> dict[str, Any]:
    """The three features that are evaluated: ``global``, ``local`` and ``fused``.

    Each part is unit, the whole unit again: [v, x^1 .. x^U] / sqrt(U + 1).

    Args:
      global_features: float [N, D], unit rows.
      patches: float [U, N, d], unit rows.

    Returns:
      Three arrays of N unit rows, of width D, U d and D + U d; NumPy's or JAX's, as
      they were given.
    """
    count, like = len(patches), global_features.__array_namespace__()
    local = like.concat(list(patches), axis=1)
    both = like.concat([global_features, local], axis=1)
    return {
        "global": global_features,
        "local": local / like.sqrt(like.asarray(count, dtype=local.dtype)),
        "fused": both / like.sqrt(like.asarray(count + 1, dtype=both.dtype)),
    }


def first_statistics(
    network: Any,
    variables: dict,
    images: np.ndarray | StreamedImages,
    mesh: Mesh,
    *,
    batch_size: int,
    heads_only: bool,
) -> dict:
    """BatchNorm statistics of layers that have seen no image, from training images.

    Args:
      network: built with ``bn_momentum=0``, so that a pass gives its batch's own.
      variables: ``params`` and ``batch_stats``, on the mesh.
      images: uint8 [N, H, W, 3], training images in row order (a hash: no order).
      mesh: devices.
      batch_size: of training.
      heads_only: the backbone is trained and keeps its statistics.

    Returns:
      ``batch_stats``: mean of the batches' means; mean of their variances plus the
      variance of their means.
    """
    estimate = map_over_devices(
        make_statistics_step(network, heads_only=heads_only),
        mesh,
        in_specs=(P(), P(AXIS)),
        out_specs=P(),
    )
    count = max(1, min(len(images), STATISTICS_IMAGES) // batch_size)
    seen = [
        jax.device_get(
            estimate(
                variables,
                shard_batch(images[k * batch_size : (k + 1) * batch_size], mesh),
            )
        )
        for k in range(count)
    ]
    return _total_statistics(seen)


def _total_statistics(seen: list[dict]) -> dict:
    def walk(parts):
        if "mean" in parts[0] and "var" in parts[0]:
            means = np.stack([p["mean"] for p in parts])
            within = np.mean([p["var"] for p in parts], axis=0)
            return {"mean": means.mean(0), "var": within + means.var(0)}
        return {name: walk([p[name] for p in parts]) for name in parts[0]}

    return walk(seen)


def _blocks(
    images: np.ndarray | StreamedImages, size: int, part: slice
) -> Iterator[tuple[int, np.ndarray]]:
    """Where each block of ``size`` begins, and that part of it that is asked for."""
    for start in range(0, len(images), size):
        first, last = start + part.start, min(start + part.stop, len(images))
        if first >= len(images):  # one shape only: the rest repeats the last image
            first, last = len(images) - 1, len(images)
        block = np.asarray(images[first:last])
        missing = part.stop - part.start - len(block)
        if missing:
            block = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)])
        yield start, block


def make_embed_step(network: Any) -> Callable[[dict, jax.Array], tuple]:
    """The evaluation-mode pass of one device: uint8 [b, H, W, 3] to both features."""

    def embed_step(variables, images):
        dtype = jax.tree.leaves(variables["params"])[0].dtype
        features = network.apply(variables, images.astype(dtype) / 255, train=False)
        return features.global_features, features.patches

    return embed_step


def make_statistics_step(
    network: Any, *, heads_only: bool
) -> Callable[[dict, jax.Array], dict]:
    """BatchNorm statistics of one batch; ``network`` must have ``bn_momentum=0``.

    With ``heads_only`` the backbone runs in evaluation mode and keeps its own.
    """

    def statistics_step(variables, images):
        dtype = jax.tree.leaves(variables["params"])[0].dtype
        _, updated = network.apply(
            variables,
            images.astype(dtype) / 255,
            train=not heads_only,
            train_heads=True,
            mutable=["batch_stats"],
        )
        return updated["batch_stats"]

    return statistics_step
