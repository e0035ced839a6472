"""Whether the order of the training images tells their identities: a check of a run.

Folders of re-identification are sorted by identity. A training path that reads them in
that order, or in any that depends on the listing, can learn from it: BUC's first
figures on Market-1501 were too high by 4 points. Rows go by a hash of names, which this
looks at from outside, before the first step.
"""

import dataclasses
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fgu_jax.data.images import row_order
from fgu_jax.errors import InputError

# One of some 3.5 million random orders is complained of: 5 standard deviations of a
# normal figure, which the count of a small set is not.
LEAST_CHANCE = 2.9e-7


@dataclasses.dataclass(frozen=True)
class LeakCheck:
    """What was seen.

    Attributes:
      rows_by_name: a shuffled listing of the same files gives the same rows.
      neighbors_alike: pairs of images in adjacent rows that show the same identity;
        ``None`` without identities.
      by_chance: how many there are in a random order, on average.
      chance: the probability of as many or more in a random order.
    """

    rows_by_name: bool
    neighbors_alike: int | None = None
    by_chance: float | None = None
    chance: float | None = None

    @property
    def warning(self) -> str | None:
        """What is wrong, in one line, or ``None``."""
        if not self.rows_by_name:
            return (
                "leak check: rows depend on the order in which files were listed; "
                "figures of this run may not be published"
            )
        if self.chance is not None and self.chance < LEAST_CHANCE:
            return (
                f"leak check: {self.neighbors_alike} adjacent rows show the same "
                f"identity, by chance {self.by_chance:.3g}; the order of rows tells "
                "identities, figures of this run may not be published"
            )
        return None


def check(names: Sequence[str], identities: ArrayLike | None) -> LeakCheck:
    r"""Looks at the order of rows; nothing of it goes to training.

    Adjacent rows of a random order show the same identity with probability
    :math:`p = \sum_i n_i (n_i - 1) / (N (N - 1))`, and their number is taken to be
    binomial, of N - 1 pairs.

    Args:
      names: of the training images, by row.
      identities: int [N], or ``None``; images of identity -1 are like no other.

    Raises:
      InputError: lengths that differ.

    >>> check(["0002_c1.jpg", "0001_c1.jpg", "0001_c2.jpg"], [2, 1, 1]).rows_by_name
    True
    """
    shuffled = list(names)
    random.Random(0).shuffle(shuffled)
    by_name = [shuffled[k] for k in row_order(shuffled)] == list(names)
    if identities is None:
        return LeakCheck(by_name)
    given = np.asarray(identities)
    if given.shape != (len(names),):
        raise InputError(
            f"identities are {list(given.shape)} for {len(names)} names: give one each"
        )
    known = given >= 0
    alike = int(np.count_nonzero((given[1:] == given[:-1]) & known[1:]))
    sizes = np.unique(given[known], return_counts=True)[1].astype(float)
    total = len(given)
    if total < 2:
        return LeakCheck(by_name)
    p = float((sizes * (sizes - 1)).sum() / (total * (total - 1)))
    from scipy import stats  # slow to import

    # As many or more: beyond one fewer.
    chance = float(f"{stats.binom.sf(alike - 1, total - 1, p):.3g}")
    return LeakCheck(by_name, alike, round(p * (total - 1), 2), chance)
