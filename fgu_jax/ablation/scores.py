"""From runs to figures: mean and spread over seeds, and what may be said of them."""

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Mapping

from fgu_jax.ablation.runs import Finished
from fgu_jax.ablation.tables import Table
from fgu_jax.errors import InputError

METRICS = ("rank1", "mAP")


@dataclasses.dataclass(frozen=True)
class Score:
    """Of one figure over seeds.

    Attributes:
      of_seed: seed to value, in 0..1 (of a difference: -1..1).
    """

    of_seed: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Of the seeds."""
        return statistics.fmean(self.of_seed.values())

    @property
    def spread(self) -> float:
        """Standard deviation of a sample; NaN of a single seed.

        >>> Score({0: 0.5, 1: 0.6, 2: 0.7}).spread.__round__(3)
        0.1
        """
        values = self.of_seed.values()
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def less(self, other: "Score") -> "Score":
        """Differences, seed by seed: the same seed has the same images and order.

        Raises:
          KeyError: a seed that the other one has not.
        """
        return Score({k: v - other.of_seed[k] for k, v in self.of_seed.items()})


def scores(runs: list[Finished]) -> dict[str, dict[str, Score]]:
    """Label of a setting to ``rank1`` and ``mAP`` of the fused feature, last epoch.

    Every setting is judged by the same seeds: those of which all settings that have
    begun are there; where there is none, the seed that most settings have, and a
    setting without it is left out.

    Raises:
      InputError: a run that had nothing to be evaluated on.
    """
    found: dict[str, dict[int, Finished]] = {}
    for run in runs:
        found.setdefault(run.label, {})[run.config.seed] = run
    count = Counter(seed for of_label in found.values() for seed in of_label)
    seeds = [seed for seed in sorted(count) if count[seed] == len(found)]
    if not seeds:
        seeds = sorted(count, key=lambda seed: (-count[seed], seed))[:1]
    return {
        label: {
            metric: Score({k: _last(of_label[k])[f"fused_{metric}"] for k in seeds})
            for metric in METRICS
        }
        for label, of_label in found.items()
        if set(seeds) <= set(of_label)
    }


def verdicts(table: Table, found: dict[str, dict[str, Score]]) -> list[str]:
    """The whole method against each other setting, a sentence each.

    Seeds are paired. The whole method is *ahead* where the mean of the differences is
    more than their spread.
    """
    if table.full not in found:
        return []
    said = []
    for label, score in found.items():
        if label == table.full:
            continue
        for metric, name in (("rank1", "rank-1"), ("mAP", "mAP")):
            ahead = found[table.full][metric].less(score[metric])
            said.append(_sentence(table, label, name, ahead))
    return said


def _sentence(table: Table, label: str, name: str, ahead: Score) -> str:
    full, other = _named(table, table.full), _named(table, label)
    mean, spread = 100 * ahead.mean, 100 * ahead.spread
    if math.isnan(spread):
        return (
            f"{name}: {full} {mean:+.1f} against {other}, of one seed: its "
            "spread is not known"
        )
    if mean > spread:
        what = "ahead by more than the spread"
    elif mean < -spread:
        what = "behind by more than the spread"
    else:
        what = "not ahead by more than the spread"
    return (
        f"{name}: {full} {mean:+.1f} (spread {spread:.1f}) against {other}: **{what}**"
    )


def _named(table: Table, label: str) -> str:
    return f"{table.head} {label}" if table.across else f"“{label}”"


def _last(run: Finished) -> dict:
    record = run.history[-1]
    if "fused_mAP" not in record:
        raise InputError(
            f"{run.config.directory} has no figures: the data name no identities to "
            "evaluate on"
        )
    return record
