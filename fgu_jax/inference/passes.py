"""One evaluation-mode pass over images: features, and BatchNorm's first statistics."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fgu_jax.data import Images, StreamedImages
from fgu_jax.networks import for_cpu
from fgu_jax.parallel import processes
from fgu_jax.parallel.machine import cores
from fgu_jax.parallel.mesh import AXIS, map_over_devices, shard_batch, shard_own
from fgu_jax.progress import Progress

PARTS = ("fused", "global", "local")  # the best of them first
BLOCK = 64  # images in a compiled call, whatever the number asked for at once
_MOST_AT_ONCE = 8  # blocks, whatever the cores: each holds maps of some images
STATISTICS_IMAGES = 4096


class Embedding:
    """Compiled passes of one network over one mesh, by blocks of one fixed shape.

    On a CPU a few images at a time go through the whole network, as their maps stay
    in a core's cache then, and each core has a block of its own: XLA shares out every
    layer of one block among the cores, which leaves them waiting for each other.
    """

    def __init__(self, network: Any, mesh: Mesh, block: int = BLOCK):
        count = mesh.devices.size
        self._mesh = mesh
        self._block = -(-block // count) * count
        whole = NamedSharding(mesh, P())
        self._gather = (
            jax.jit(lambda x: x, out_shardings=whole)
            if processes.several()
            else lambda x: x
        )
        on_cpu = mesh.devices.flat[0].platform == "cpu"
        self._at_once = min(cores(), _MOST_AT_ONCE) if on_cpu and mesh.size == 1 else 1
        self._programs: dict[tuple, jax.stages.Compiled] = {}
        network, few = for_cpu(network) if on_cpu else (network, None)
        self._embed = map_over_devices(
            make_embed_step(network, few=few),
            mesh,
            in_specs=(P(), P(AXIS)),
            out_specs=(P(AXIS), P(None, AXIS)),
        )

    def __call__(
        self, variables: dict, images: Images, *, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features of all images, in evaluation mode.

        Args:
          variables: ``params`` and ``batch_stats``, on the mesh.
          images: uint8 [N, H, W, 3].
          progress: called with images done, N, and what is done.

        Returns:
          NumPy float [N, D] global and float [U, N, d] patch features, unit rows.
        """
        blocks = self._blocks(variables, images, progress)
        v, x = zip(*blocks, strict=True)
        return np.concatenate(v), np.concatenate(x, axis=1)

    def parts(
        self,
        variables: dict,
        images: Images,
        names: tuple[str, ...],
        *,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The named of ``PARTS`` of all images, float [N, F] each; see ``fused``."""
        found: dict[str, np.ndarray] = {}
        start = 0
        for block in self._blocks(variables, images, progress):
            rows = {k: v for k, v in fused(*block).items() if k in names}
            stop = start + len(block[0])
            for name, x in rows.items():
                if start == 0:  # filled as it comes: nothing is held twice
                    found[name] = np.empty((len(images), x.shape[1]), x.dtype)
                found[name][start:stop] = x
            start = stop
        return found

    def _blocks(
        self, variables: dict, images: Images, progress: Progress | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Both features of each block of images, in order."""
        total = len(images)
        waiting: list[tuple[int, Future]] = []

        def begun(block: np.ndarray) -> Future:
            rows = shard_own(block, self._mesh)
            program = self._program(variables, rows)
            # NumPy arrays of all devices' rows, those of other processes too.
            if self._at_once == 1:  # begun here: in one order in all processes
                features = self._gather(program(variables, rows))
                return pool.submit(jax.device_get, features)
            return pool.submit(lambda: jax.device_get(program(variables, rows)))

        def fetched() -> tuple[np.ndarray, np.ndarray]:
            size, features = waiting.pop(0)
            v, x = features.result()
            return v[:size], x[:, :size]

        mine = processes.own_part(self._block, self._mesh)
        with ThreadPoolExecutor(self._at_once) as pool:
            for start, block in _padded_blocks(images, self._block, mine):
                size = min(self._block, total - start)
                waiting.append((size, begun(block)))
                if progress:
                    progress(start + size, total, "features")
                if len(waiting) > self._at_once:  # none waits while one is copied
                    yield fetched()
            while waiting:
                yield fetched()

    def _program(self, variables: dict, rows: jax.Array) -> jax.stages.Compiled:
        """The compiled pass, made in one thread: JAX has settings of each thread."""
        types = tuple(leaf.dtype for leaf in jax.tree.leaves(variables))
        if types not in self._programs:
            self._programs[types] = self._embed.lower(variables, rows).compile()
        return self._programs[types]


class EmbedOnce:
    """Both features of sets of images by one network, each set embedded once.

    Args:
      embedding: the passes of the network.
    """

    def __init__(self, embedding: Embedding):
        self._embedding = embedding
        self.network({})

    def network(self, variables: dict) -> None:
        """From now on features are by these variables; those known are dropped."""
        self._variables = variables
        self._known: dict[int, tuple[Images, tuple[np.ndarray, np.ndarray]]] = {}

    def __call__(
        self, images: Images, progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features of all images, as ``Embedding`` gives them.

        Args:
          images: uint8 [N, H, W, 3]; the same object is the same set.
          progress: of the pass, where one is made.
        """
        if id(images) not in self._known:  # kept with it, as an id may come again
            found = self._embedding(self._variables, images, progress=progress)
            self._known[id(images)] = images, found
        return self._known[id(images)][1]


def fused(global_features: Any, patches: Any) -> dict[str, Any]:
    """The three features that are evaluated: ``global``, ``local`` and ``fused``.

    Each part is unit, the whole unit again: [v, x^1 .. x^U] / sqrt(U + 1). Without
    patches, U = 0, the whole is the global feature and ``local`` has no numbers.

    Args:
      global_features: float [N, D], unit rows.
      patches: float [U, N, d], unit rows.

    Returns:
      Three arrays of N unit rows, of width D, U d and D + U d; NumPy's or JAX's, as
      they were given.
    """
    count, like = len(patches), global_features.__array_namespace__()
    local = like.concat(list(patches) or [global_features[:, :0]], axis=1)
    both = like.concat([global_features, local], axis=1)
    return {
        "global": global_features,
        "local": local / like.sqrt(like.asarray(max(count, 1), dtype=local.dtype)),
        "fused": both / like.sqrt(like.asarray(count + 1, dtype=both.dtype)),
    }


def first_statistics(
    network: Any,
    variables: dict,
    images: Images,
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

    estimate = map_over_devices(
        statistics_step, mesh, in_specs=(P(), P(AXIS)), out_specs=P()
    )
    count = max(1, min(len(images), STATISTICS_IMAGES) // batch_size)
    batches = (images[k * batch_size : (k + 1) * batch_size] for k in range(count))
    return _total_statistics(
        [jax.device_get(estimate(variables, shard_batch(x, mesh))) for x in batches]
    )


def _total_statistics(seen: list[dict]) -> dict:
    if "mean" in seen[0] and "var" in seen[0]:
        means = np.stack([of["mean"] for of in seen])
        within = np.mean([of["var"] for of in seen], axis=0)
        return {"mean": means.mean(0), "var": within + means.var(0)}
    return {name: _total_statistics([of[name] for of in seen]) for name in seen[0]}


def _padded_blocks(
    images: Images, size: int, part: slice
) -> Iterator[tuple[int, np.ndarray]]:
    """Where each block of ``size`` begins, and that part of it that is asked for."""
    total = len(images)
    starts = range(0, total, size)
    # One shape only: what is beyond the last image repeats it.
    firsts = [min(start + part.start, total - 1) for start in starts]
    rows = [
        slice(first, max(first + 1, min(start + part.stop, total)))
        for start, first in zip(starts, firsts, strict=True)
    ]
    if isinstance(images, StreamedImages):
        blocks = images.slices(rows)
    else:
        blocks = (images[each] for each in rows)
    for start, block in zip(starts, blocks, strict=True):
        missing = part.stop - part.start - len(block)
        if missing:
            block = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)])
        yield start, np.asarray(block)


def make_embed_step(
    network: Any, few: int | None = None
) -> Callable[[dict, jax.Array], tuple]:
    """The evaluation-mode pass of one device: uint8 [b, H, W, 3] to both features.

    Args:
      network: a Flax module that gives ``Features``.
      few: so many images at a time go through the network, where it divides b.
    """

    def embed_step(variables, images):
        dtype = jax.tree.leaves(variables["params"])[0].dtype

        def of(images):
            features = network.apply(variables, images.astype(dtype) / 255, train=False)
            return features.global_features, features.patches

        if few is None or len(images) % few:
            return of(images)
        v, x = lax.map(of, images.reshape(-1, few, *images.shape[1:]))
        x = jnp.moveaxis(x, 0, 1)
        rows = len(images)
        return v.reshape(rows, v.shape[-1]), x.reshape(len(x), rows, x.shape[-1])

    return embed_step
