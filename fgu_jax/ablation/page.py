"""A table of ablations as Markdown: the paper's own layout, with its figures."""

import dataclasses
import math

from fgu_jax.ablation.runs import Finished
from fgu_jax.ablation.scores import METRICS, Score, scores, verdicts
from fgu_jax.ablation.tables import DATASETS, Table
from fgu_jax.config import Config
from fgu_jax.data.leaks import LeakCheck
from fgu_jax.evaluation.results import best_epoch
from fgu_jax.runs.labels import told, used

_OF_LEAK_CHECK = {field.name for field in dataclasses.fields(LeakCheck)}
_NAMES = {"rank1": "Rank-1", "mAP": "mAP"}


def page(
    table: Table, base: Config, runs: list[Finished], *, num_planned: int, command: str
) -> str:
    """The Markdown of a table, of the runs that there are.

    Args:
      table: which.
      base: the whole method.
      runs: those that came to an end.
      num_planned: how many there are to be.
      command: that made them.

    Raises:
      InputError: a run that had nothing to be evaluated on.
    """
    found = scores(runs)
    seeds = sorted({k for of in found.values() for k in of["rank1"].of_seed})
    ours = f"{DATASETS.get(base.dataset, base.dataset)}, here"
    lines = [f"# {table.title}", ""]
    if len(runs) < num_planned:
        lines += [f"**{len(runs)} of {num_planned} runs are done.**", ""]
    if table.across:
        grid = _columns_of(table, found, ours)
    elif table.published:
        grid = _rows_of(table, found, ours)
    else:
        grid = _differences_of(table, found, ours)
    lines += [*_markdown(grid), ""]
    lines += [_how(base, seeds), ""]
    with_labels = _labels(table, runs)
    lines += [*with_labels, ""] if with_labels else []
    if table.note:
        lines += [table.note, ""]
    if table.figure:
        lines += [f"![Figure {table.figure}](figure-{table.figure}.png)", ""]
    said = verdicts(table, found) if table.published else []
    if said:
        of = "Differences of the same seed, their mean and standard deviation:"
        lines += [of, "", *(f"- {sentence}" for sentence in said), ""]
    lines += ["## Runs", ""]
    lines += [*_markdown(_each_run(table, runs)), ""]
    lines += [
        "The best epoch is a footnote: it is picked on the images that it is judged "
        "on. The last epoch is the result.",
        "",
    ]
    warned = _warnings(runs)
    lines += [*warned, ""] if warned else []
    lines += _made_with(runs, command)
    return "\n".join(lines) + "\n"


def _rows_of(table: Table, found: dict, ours: str) -> list[list[str]]:
    """Settings as rows: tables 2 to 4."""
    heads = [table.head, f"Rank-1 ({ours})", f"mAP ({ours})"]
    for name in table.published:
        heads += [f"Rank-1 ({DATASETS[name]}, paper)", "mAP"]
    rows = [heads]
    for label in table.settings:
        row = [label, *(_cell(found.get(label, {}).get(m)) for m in METRICS)]
        for figures in table.published.values():
            row += [_printed(x) for x in figures[label]]
        rows.append(row)
    return rows


def _columns_of(table: Table, found: dict, ours: str) -> list[list[str]]:
    """Settings as columns: tables 5 to 7."""
    rows = [["", table.head, *table.settings]]
    for metric in METRICS:
        cells = (_cell(found.get(x, {}).get(metric)) for x in table.settings)
        rows.append([ours, _NAMES[metric], *cells])
    for name, figures in table.published.items():
        for k, metric in enumerate(METRICS):
            printed = [figures[label][k] for label in table.settings]
            if any(x is not None for x in printed):
                title = f"{DATASETS[name]}, paper"
                rows.append([title, _NAMES[metric], *map(_printed, printed)])
    return rows


def _differences_of(table: Table, found: dict, ours: str) -> list[list[str]]:
    """Settings as rows, each with its difference to the one that is compared with."""
    heads = [table.head, f"Rank-1 ({ours})", f"mAP ({ours})"]
    rows = [[*heads, "Rank-1, change", "mAP, change"]]
    full = found.get(table.full, {})
    for label in table.settings:
        own = found.get(label, {})
        row = [label, *(_cell(own.get(m)) for m in METRICS)]
        for metric in METRICS:
            if label == table.full or not own or not full:
                row.append("")
            else:
                row.append(_cell(own[metric].less(full[metric]), sign="+"))
        rows.append(row)
    return rows


def _each_run(table: Table, runs: list[Finished]) -> list[list[str]]:
    heads = [table.head, "seed", "global", "local", "fused", "best epoch, fused"]
    start = "start, fused" if _labels(table, runs) else "untrained, fused"
    rows = [[*heads, start, "clusters", "minutes"]]
    for run in runs:
        last, first = run.history[-1], run.history[0]
        best = best_epoch(run.history)
        footnote = "-"
        if best is not None:
            record = next(r for r in run.history if r["epoch"] == best)
            footnote = f"{_pair(record, 'fused')} ({best})"
        parts = [_pair(last, name) for name in ("global", "local", "fused")]
        parts[2] = f"**{parts[2]}**"
        rows.append(
            [
                run.label,
                str(run.config.seed),
                *parts,
                footnote,
                _pair(first, "fused"),
                str(last["clusters"]),
                f"{run.seconds / 60:.1f}",
            ]
        )
    return rows


def _how(base: Config, seeds: list[int]) -> str:
    split = (
        f"{base.holdout_identities} identities held out of the training split"
        if base.holdout_identities
        else "query against gallery"
    )
    start = "random weights" if base.init == "random" else f"`--init={base.init}`"
    formula = {"hits": "mean precision at hits", "trapezoid": "trapezoid"}
    over = (
        f"mean ± standard deviation over seeds {', '.join(map(str, seeds))}"
        if len(seeds) > 1
        else f"seed {seeds[0]}"
        if seeds
        else "no seed yet"
    )
    return (
        f"Figures in %, {over}; {base.dataset}, {split}; method `{base.method}`, "
        f"{base.backbone} from {start}, "
        f"{base.image_height} x {base.image_width}, {base.epochs} epochs, preset "
        f"`{base.preset}`; the last epoch, fused feature; AP is "
        f"{formula[base.average_precision]}."
    )


def _labels(table: Table, runs: list[Finished]) -> list[str]:
    """Which runs started from labels of other images, a line each setting."""
    found = {
        run.label: told(run.config, used(run.config.directory))
        for run in runs
        if used(run.config.directory)
    }
    return [f"- **{found[x]}**: {x}" for x in table.settings if x in found]


def _warnings(runs: list[Finished]) -> list[str]:
    """What the runs warned of: the leak check, and the watch at its first epoch."""
    said = []
    for run in runs:
        name = f"{run.label}, seed {run.config.seed}"
        check = run.session.get("leak_check")
        # Another version may have kept more of the check than this one knows.
        known = {k: v for k, v in (check or {}).items() if k in _OF_LEAK_CHECK}
        leak = LeakCheck(**known).warning if known else None
        if leak:
            said.append(f"- **warning**, {name}: {leak}")
        watch = run.session.get("warnings", [])
        if watch:
            first = watch[0]
            said.append(
                f"- **warning**, {name}, epoch {first['epoch']}: {first['message']}"
                + (f"; and {len(watch) - 1} more" if len(watch) > 1 else "")
            )
    return said


def _made_with(runs: list[Finished], command: str) -> list[str]:
    made = []
    for run in runs:
        session = run.session
        devices, git = session["devices"], session["git"]
        commit = "no git checkout"
        if git:
            changed = ", with changes" if git["dirty"] else ""
            commit = f"commit {git['commit'][:12]}{changed}"
        versions, day = session["versions"], session["started"][:10]
        text = (
            f"- {devices['count']} x {devices['kind']}, {commit}, Python "
            f"{versions['python']}, jax {versions['jax']}, {day}"
        )
        made.append(text)
    total = sum({str(run.config.directory): run.seconds for run in runs}.values())
    spent = f"- {total / 60:.0f} minutes of epochs in {len(runs)} runs"
    lines = ["## How it was made", "", "```", command, "```", ""]
    return [*lines, *dict.fromkeys(made), spent, ""]


def _cell(score: Score | None, *, sign: str = "") -> str:
    if score is None:
        return "not yet"
    if math.isnan(score.spread):
        return f"{100 * score.mean:{sign}.1f}"
    return f"{100 * score.mean:{sign}.1f} ± {100 * score.spread:.1f}"


def _printed(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _pair(record: dict, name: str) -> str:
    return f"{100 * record[f'{name}_rank1']:.1f} / {100 * record[f'{name}_mAP']:.1f}"


def _markdown(grid: list[list[str]]) -> list[str]:
    heads, *rows = grid
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return ["| " + " | ".join(row) + " |" for row in (heads, rule, *rows)]
