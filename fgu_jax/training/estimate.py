"""How long a run will take here, told from its first steps."""

import time
from collections.abc import Callable

import jax

from fgu_jax.config import Config
from fgu_jax.config.presets import ON_CPU
from fgu_jax.messages import counted
from fgu_jax.progress import Progress

_SECONDS = 6.0  # of steps, once the first is compiled
_LONG = 3600.0


class Estimate:
    """A ``Progress`` of an epoch's steps that once tells how long the run will take.

    Args:
      config: the run's.
      epoch: the one that it is given to, counted from 1.
      regrouping: seconds that a pass over the images and new clusters took; none: they
        were not timed yet, and the line says that they are not counted.
      progress: told of each call.
      say: told the estimate, one line.
    """

    def __init__(
        self,
        config: Config,
        epoch: int,
        regrouping: float | None,
        *,
        progress: Progress,
        say: Callable[[str], object],
    ):
        self._config, self._epoch, self._regrouping = config, epoch, regrouping
        self._progress, self._say = progress, say
        self._start: tuple[float, int] | None = None
        self._done = self._total = 0
        self._told = False

    def __call__(self, done: int, total: int, what: str) -> None:
        self._progress(done, total, what)
        self._done, self._total = done, total
        now = time.perf_counter()
        if self._start is None:
            self._start = now, done
        elif now - self._start[0] >= _SECONDS:
            self._tell(now)

    def finish(self) -> None:
        """Tells it at the end of the epoch's steps, where it was too short for that.

        Of a stop within the epoch the steps count that were done.
        """
        self._tell(time.perf_counter())

    def _tell(self, now: float) -> None:
        if self._told or self._start is None or self._done == self._start[1]:
            return
        self._told = True
        a_step = (now - self._start[0]) / (self._done - self._start[1])
        self._say(self.line(a_step, self._done, self._total))

    def line(self, a_step: float, done: int, total: int) -> str:
        """What is told.

        Args:
          a_step: seconds.
          done, total: steps of this epoch.
        """
        config, to_come = self._config, range(self._epoch, self._config.epochs + 1)
        regroupings = sum(map(config.regroups_after, to_come))
        between = (self._regrouping or 0.0) * regroupings
        seconds = a_step * (len(to_come) * total - done) + between
        said = (
            f"about {duration(seconds)} to go here: {counted(len(to_come), 'epoch')} "
            f"of {counted(total, 'step')} of {a_step:.2g} s"
        )
        if between:
            said += f", {duration(between)} of it for new clusters"
        elif regroupings and self._regrouping is None:
            said += f", new clusters ({regroupings} times) not counted: not timed yet"
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
