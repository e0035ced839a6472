"""How often two sides of a tree are one individual, by their similarity."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_EVENS = np.linspace(0.05, 0.6, 56)
_SPREADS = np.array([0.04, 0.06, 0.08, 0.1, 0.14])
_EVEN, _SPREAD = 0.35, 0.08  # before any answer
_EVEN_VARIES, _SPREAD_VARIES = 0.1, 0.4  # of the even, and of the spread's logarithm


class Chance(NamedTuple):
    """p(s) = 1 / (1 + exp(-(s - even) / spread)), s a mean similarity in 0..1.

    >>> Chance()(np.array([0.15, 0.35, 0.55])).round(2).tolist()
    [0.08, 0.5, 0.92]
    """

    even: float = _EVEN
    spread: float = _SPREAD

    def __call__(self, similarity: np.ndarray) -> np.ndarray:
        """float64, 0..1."""
        return 1 / (1 + np.exp((self.even - similarity) / self.spread))


def fitted(similarity: ArrayLike, same: ArrayLike) -> Chance:
    """The most likely of a grid, by answers and by what was usual before them.

    A logistic regression with one term: the likelihood of the answers, times a normal
    prior of ``even`` (0.35, standard deviation 0.1) and a lognormal one of ``spread``
    (0.08, 0.4).

    Args:
      similarity: float [P], at which the two images of each answer come together.
      same: bool [P], the answers.

    >>> [round(f.even, 2) for f in (fitted([], []), fitted([0.3] * 20, [False] * 20))]
    [0.35, 0.49]
    """
    s = np.asarray(similarity, np.float64)
    yes = np.asarray(same, np.float64)
    even, spread = _EVENS[:, None], _SPREADS[None, :]
    z = (s - even[..., None]) / spread[..., None]
    likely = -(yes * np.logaddexp(0, -z) + (1 - yes) * np.logaddexp(0, z)).sum(axis=-1)
    likely -= 0.5 * ((even - _EVEN) / _EVEN_VARIES) ** 2
    likely -= 0.5 * (np.log(spread / _SPREAD) / _SPREAD_VARIES) ** 2
    best = np.unravel_index(likely.argmax(), likely.shape)
    return Chance(float(_EVENS[best[0]]), float(_SPREADS[best[1]]))
