"""A run that is asked to stop, and a run that has gone wrong."""

import contextlib
import signal
import time
from types import FrameType

import jax
import numpy as np

from fgu_jax.errors import InputError
from fgu_jax.parallel import processes

_LOOK_EVERY = 8  # steps between agreements of processes; each is a round of messages


class Stopped(Exception):
    """The run was asked to stop and saved itself first; ``code`` is its exit code."""

    def __init__(self, signum: int):
        self.code = 128 + signum
        super().__init__(signal.Signals(signum).name)


class StopRequest:
    """While active, SIGINT and SIGTERM are noted; a second one acts at once.

    Attributes:
      signum: the signal that came, as of the last ``look``: of several processes all
        see the same, at the same place, whichever of them it came to.
    """

    signum: int | None = None
    _noted: int | None = None
    _looks: int = 0

    def look(self, *, now: bool = False) -> None:
        """Updates ``signum``; several processes agree on it now and then, or ``now``.

        All of them must call this equally often.
        """
        self._looks += 1
        if now or not processes.several() or self._looks % _LOOK_EVERY == 0:
            self.signum = processes.maximum(self._noted or 0) or None

    def __enter__(self) -> "StopRequest":
        self._old = {}
        for signum in (signal.SIGINT, signal.SIGTERM):
            # Outside the main thread signals are the caller's own affair.
            with contextlib.suppress(ValueError):
                self._old[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_) -> None:
        for signum, handler in self._old.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._noted = signum
        for each, handler in self._old.items():  # the next one is the old handler's
            signal.signal(each, handler)


class Watch:
    """Reads the losses of steps late, so that the device never waits for the host.

    ``push`` keeps a step's losses; about once a second those of all but the newest
    steps are fetched and checked.

    Raises:
      InputError: a loss or gradient is not finite; epoch, step and what to try.
    """

    def __init__(self, epoch: int, *, every: float = 1.0, most: int = 64):
        self._epoch, self._every, self._most = epoch, every, most
        self._pending: list[tuple[int, dict]] = []
        self._last = time.monotonic()

    def push(self, step: int, losses: dict) -> bool:
        """Keeps losses; true where the host looked at older ones.

        Args:
          step: the step that they are of, or the first of several.
          losses: scalars, or arrays [S] of S steps in a row.
        """
        self._pending.append((step, losses))
        # Several processes must find a loss that is not finite at the same step.
        due = not processes.several() and time.monotonic() - self._last > self._every
        if not due and len(self._pending) < self._most:
            return False
        self.check(all_but=1)
        self._last = time.monotonic()
        return True

    def check(self, *, all_but: int = 0) -> None:
        """Fetches what was pushed and refuses what is not finite."""
        cut = len(self._pending) - all_but
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        values = jax.device_get([losses for _, losses in ready])
        for (step, _), losses in zip(ready, values, strict=True):
            table = np.stack([np.atleast_1d(x) for x in losses.values()], axis=1)
            wrong = np.argwhere(~np.isfinite(table))
            if len(wrong):
                later, which = wrong[0]
                raise InputError(
                    f"{list(losses)[which]} is {table[later, which]} in epoch "
                    f"{self._epoch}, step {step + later}: the last checkpoint stays; "
                    "try a lower learning_rate, or another seed"
                )
