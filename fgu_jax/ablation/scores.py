"""From runs to figures: mean and spread over seeds, and what may be said of them."""

import dataclasses
import math
import statistics

from fgu_jax.ablation.runs import Finished
from fgu_jax.ablation.tables import Table
from fgu_jax.errors import InputError

METRICS = ("rank1", "mAP")


@dataclasses.dataclass(frozen=True)
class Score:
    """Of one figure over seeds.

    Attributes:
      values: one a seed, in 0..1 (a difference: -1..1), in order of seeds.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation of a sample; NaN of a single seed.

        >>> Score((0.5, 0.6, 0.7)).spread.__round__(3)
        0.1
        """
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    def less(self, other: "Score") -> "Score":
        """Differences, seed by seed: the same seed has the same images and order."""
        pairs = zip(self.values, other.values, strict=True)
        return Score(tuple(a - b for a, b in pairs))


def scores(runs: list[Finished]) -> dict[str, dict[str, Score]]:
    """Label of a setting to ``rank1`` and ``mAP`` of the fused feature, last epoch.

    A setting is left out while one of its seeds is missing; the others are those of
    the setting that has most.

    Raises:
      InputError: a run that had nothing to be evaluated on.
    """
    by_label: dict[str, list[Finished]] = {}
    for run in runs:
        by_label.setdefault(run.label, []).append(run)
    most = max(map(len, by_label.values()), default=0)
    found = {}
    for label, those in by_label.items():
        if len(those) < most:
            continue
        those = sorted(those, key=lambda run: run.config.seed)
        found[label] = {
            metric: Score(tuple(_last(run)[f"fused_{metric}"] for run in those))
            for metric in METRICS
        }
    return found


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
