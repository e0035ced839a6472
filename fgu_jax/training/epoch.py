"""The steps of one epoch, one dispatch each or many in one."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from fgu_jax.config import TRACED, Config
from fgu_jax.data import Images
from fgu_jax.parallel import processes
from fgu_jax.parallel.allocation import Growth
from fgu_jax.parallel.mesh import shard_batch, shard_own
from fgu_jax.progress import Progress
from fgu_jax.training.health import FiniteLosses
from fgu_jax.training.images import host_batches, place_images
from fgu_jax.training.sampling import clusters_order, epoch_order
from fgu_jax.training.state import Stepped, specs
from fgu_jax.training.step import chunked_train_step, mapped_train_step
from fgu_jax.training.stopping import StopRequest

State = TypeVar("State", bound=Stepped)

MOST_STEPS = 64  # of a dispatch, where the configuration does not say
SECONDS = 0.5  # that a dispatch should last, so that a stop is seen within a second


class Epochs:
    """Trains epoch after epoch, on images of the host or of the devices.

    Images that live on the devices need nothing of the host but row numbers: many
    steps go in one dispatch, as many as take half a second, and the host reads their
    losses one dispatch late. A step is the same either way.

    Args:
      config: the run's.
      train_step: of one device, ``make_train_step``'s.
      images: uint8 [N, H, W, 3] or a stream of them.
      mesh: devices.
      view: int [N], where images were taken; batches by cluster are by it too.
    """

    def __init__(
        self,
        config: Config,
        train_step: Callable,
        images: Images,
        mesh: Mesh,
        *,
        view: np.ndarray | None = None,
    ):
        self._view = view
        self._config, self._images, self._mesh = config, images, mesh
        self._resident = place_images(config, images, mesh)
        self._most = config.steps_per_dispatch or self._by_device()
        chunked = self._resident is not None and self._most > 1
        self._step = _over_devices(train_step, mesh, config.shard_tables, chunked)
        self._run = self._by_chunk if chunked else self._by_step
        self._a_dispatch = 1
        self._weights = {name: getattr(config, name) for name in TRACED}

    def __call__(
        self, epoch: int, state: State, stop: StopRequest, progress: Progress
    ) -> State:
        """The state after the epoch, or earlier if a stop was asked for.

        Args:
          epoch: counted from 1; ``state`` may be within it.
          state: donated: it may not be used again.
          stop: looked at between dispatches.
          progress: called now and then, and at the end, with steps done, how many there
            are, and what.

        Raises:
          InputError: a loss or gradient is not finite.
        """
        order = self._order(epoch, jax.device_get(state.labels))
        before = (epoch - 1) * len(order)
        finite, growth = FiniteLosses(epoch), Growth()
        what = f"epoch {epoch}"
        done = int(state.step) - before
        dispatches = self._run(state, order, done, stop)
        for done, count, now, losses in dispatches:
            state = now
            growth.look()
            if finite.push(before + done - count + 1, losses):
                progress(done, len(order), what)
        finite.check()
        progress(done, len(order), what)  # fewer than there are after a stop
        return state

    def _order(self, epoch: int, labels: np.ndarray) -> np.ndarray:
        config = self._config
        size, seed = config.batch_size, config.seed
        if config.images_a_cluster is not None:
            return clusters_order(
                seed,
                epoch,
                labels,
                size,
                per_cluster=config.images_a_cluster,
                cameras=self._view,
            )
        # Images in no cluster are left out; an epoch has as many steps all the same.
        rows = np.flatnonzero(labels >= 0)
        return epoch_order(seed, epoch, len(self._images), size, rows)

    def _by_step(self, state, order, done, stop) -> Iterator[tuple]:
        on_host = None
        if self._resident is None:
            mine = processes.own_part(order.shape[1], self._mesh)
            on_host = host_batches(self._images, order[done:, mine])
        for k in range(done, len(order)):
            batch = shard_batch({"index": order[k]}, self._mesh)
            if on_host is not None:
                batch["image"] = shard_own(next(on_host), self._mesh)
            state, losses = self._step(state, self._resident, batch, self._weights)
            yield k + 1, 1, state, losses
            stop.look()
            if stop.signum:
                return

    def _by_chunk(self, state, order, done, stop) -> Iterator[tuple]:
        rows = np.zeros((self._most, order.shape[1]), np.int32)
        waiting: Any = None
        while done < len(order):
            count = min(self._a_dispatch, len(order) - done)
            rows[:count] = order[done : done + count]
            started = time.monotonic()
            index = shard_batch(rows.copy(), self._mesh, axis=1)
            state, losses = self._step(
                state, self._resident, index, np.int32(count), self._weights
            )
            done += count
            jax.block_until_ready(waiting)  # the chunk before: never two ahead
            waiting = losses
            yield done, count, state, losses
            stop.look(now=True)
            if stop.signum:
                return
            self._lengthen(time.monotonic() - started)

    def _lengthen(self, seconds: float) -> None:
        """Twice the steps while dispatches are short; how many changes no result."""
        if processes.several():
            self._a_dispatch = self._most  # theirs must be the same; clocks are not
        elif seconds < SECONDS / 2:
            self._a_dispatch = min(2 * self._a_dispatch, self._most)
        elif seconds > 2 * SECONDS:
            self._a_dispatch = max(1, self._a_dispatch // 2)

    def _by_device(self) -> int:
        # A CPU gains nothing, and would compile the step inside a loop.
        return 1 if self._mesh.devices.flat[0].platform == "cpu" else MOST_STEPS


@functools.lru_cache(maxsize=4)  # one program, in however many runs of a process
def _over_devices(train_step: Callable, mesh: Mesh, shard_tables: bool, chunked: bool):
    prepare = chunked_train_step if chunked else mapped_train_step
    return prepare(train_step, mesh, specs(shard_tables=shard_tables))
