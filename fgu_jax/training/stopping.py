"""A run that is asked to stop."""

import contextlib
import signal
from types import FrameType

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
