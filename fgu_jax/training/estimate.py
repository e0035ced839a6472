"""How long a run will take here, told from its first steps."""

import time
from collections.abc import Callable

import jax

from fgu_jax.config import Config
from fgu_jax.config.presets import ON_CPU
from fgu_jax.progress import Progress

_SECONDS = 6.0  # of steps, once the first is compiled
_LONG = 3600.0


class Estimate:
    """A ``Progress`` of an epoch's steps that once tells how long the run will take.

    Args:
      config: the run's.
      epoch: the one that it is given to, counted from 1.
      regrouping: seconds that a pass over the images and new clusters took.
      progress: told of each call.
      say: told the estimate, one line.
    """

    def __init__(
        self,
        config: Config,
        epoch: int,
        regrouping: float,
        *,
        progress: Progress,
        say: Callable[[str], object],
    ):
        self._config, self._epoch, self._regrouping = config, epoch, regrouping
        self._progress, self._say = progress, say
        self._start: tuple[float, int] | None = None
        self._total = 0
        self._told = False

    def __call__(self, done: int, total: int, what: str) -> None:
        self._progress(done, total, what)
        self._total = total
        now = time.perf_counter()
        if self._start is None:
            self._start = now, done
        elif now - self._start[0] >= _SECONDS:
            self._tell(now, done)

    def finish(self) -> None:
        """Tells it at the end of the epoch's steps, where it was too short for that."""
        if self._start is not None and self._start[1] < self._total:
            self._tell(time.perf_counter(), self._total)

    def _tell(self, now: float, done: int) -> None:
        if self._told or self._start is None:
            return
        self._told = True
        a_step = (now - self._start[0]) / (done - self._start[1])
        self._say(self.line(a_step, done, self._total))

    def line(self, a_step: float, done: int, total: int) -> str:
        """What is told.

        Args:
          a_step: seconds.
          done, total: steps of this epoch.
        """
        config, to_come = self._config, range(self._epoch, self._config.epochs + 1)
        between = self._regrouping * sum(map(config.regroups_after, to_come))
        seconds = a_step * (len(to_come) * total - done) + between
        said = (
            f"about {duration(seconds)} to go here: {len(to_come)} epochs of {total} "
            f"steps of {a_step:.2g} s"
        )
        if between:
            said += f", {duration(between)} of it for new clusters"
        on_cpu = jax.default_backend() == "cpu"
        if seconds > _LONG and on_cpu and config.backbone != "efficientnet_lite0":
            said += f"; --preset={ON_CPU} is for machines without an accelerator"
        return said


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(40), duration(600), duration(9000)
    ('40 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
