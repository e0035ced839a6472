"""The end of a run in one table: baseline, untrained, trained, best epoch."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from fgu_jax.config import Config, methods
from fgu_jax.config.methods import SUPERVISED

COLUMNS = (
    ("rank-1", "rank1"),
    ("rank-5", "rank5"),
    ("rank-10", "rank10"),
    ("mAP", "mAP"),
    ("mINP", "mINP"),
)


def best_epoch(history: list[dict]) -> int | None:
    """The trained epoch with the highest fused mAP, the first of equals; or ``None``.

    >>> best_epoch([{"epoch": 0, "fused_mAP": 0.9}, {"epoch": 1}])
    >>> best_epoch([{"epoch": 1, "fused_mAP": 0.3}, {"epoch": 2, "fused_mAP": 0.3}])
    1
    """
    judged = [r for r in history if "fused_mAP" in r and r["epoch"] > 0]
    if not judged:
        return None
    return max(judged, key=lambda record: record["fused_mAP"])["epoch"]


def rows(history: list[dict], start: str = "") -> list[tuple[str, dict, str]]:
    """What is compared: a title, the record, and the prefix of its figures.

    ``start`` is what epoch 0 is, where the network had labels: not untrained.
    """
    found = [
        (methods.METHODS[name].title, record, name)
        for record in history
        for name in methods.HANDCRAFTED
        if f"{name}_mAP" in record
    ]
    evaluated = [record for record in history if "fused_mAP" in record]
    if found or not evaluated:
        return found
    first, last = evaluated[0], evaluated[-1]
    best = best_epoch(history)
    if "histogram_mAP" in first:
        found.append(("colour histogram", first, "histogram"))
    found.append((f"{start or 'untrained'}, fused", first, "fused"))
    if last["epoch"] > 0:
        title = f"epoch {last['epoch']}, last"
        found += [(f"{title}, {part}", last, part) for part in ("global", "local")]
        found.append((f"{title}, fused: the result", last, "fused"))
        record = next(record for record in evaluated if record["epoch"] == best)
        found.append((f"epoch {best}, best mAP, fused", record, "fused"))
    return found


def name_of_start(config: Config, labels: str) -> str:
    """What epoch 0 is called in a table, for ``rows``; empty where it is untrained.

    Args:
      config: the run's.
      labels: the clause of ``runs.labels.told``; with labels of its own it is no start.
    """
    return "start" if config.method == SUPERVISED else labels


def ranked_on(config: Config) -> str:
    """What a run's figures are of, in words."""
    held_out = config.holdout_identities
    return f"{held_out} held-out identities" if held_out else "query against gallery"


def print_summary(
    console: Console,
    config: Config,
    history: list[dict],
    directory: Path,
    protocol: str,
    labels: str = "",
) -> None:
    """Prints the table, how its figures were taken, and where everything lies.

    ``labels`` is the clause of ``runs.labels.told``.
    """
    compared = rows(history, name_of_start(config, labels))
    if compared:
        title = ", ".join(
            filter(None, [config.dataset, ranked_on(config), labels, "%"])
        )
        table = Table(title=title, title_justify="left")
        table.add_column("")
        for title, _ in COLUMNS:
            table.add_column(title, justify="right")
        for title, record, prefix in compared:
            figures = (f"{100 * record[f'{prefix}_{name}']:.1f}" for _, name in COLUMNS)
            table.add_row(title, *figures)
        console.print(table)
        console.print(protocol, markup=False)
        for line in behind(history):
            console.print(line, markup=False)
    else:
        console.print("no figures: nothing could be ranked", markup=False)
    clusters = history[-1].get("clusters")
    said = "" if clusters is None else f"training ended with {clusters} clusters; "
    console.print(f"{said}run in {directory}", markup=False)


def behind(history: list[dict]) -> list[str]:
    """A line where the trained network ranks worse than colours alone do.

    >>> behind([{"epoch": 0, "histogram_mAP": 0.09}, {"epoch": 4, "fused_mAP": 0.04}])
    ['behind the colour histogram (mAP 4.0 against 9.0): it did not learn who is who']
    """
    colours = [r["histogram_mAP"] for r in history if "histogram_mAP" in r]
    trained = [r["fused_mAP"] for r in history if "fused_mAP" in r and r["epoch"] > 0]
    if not colours or not trained or trained[-1] >= colours[0]:
        return []
    return [
        f"behind the colour histogram (mAP {100 * trained[-1]:.1f} against "
        f"{100 * colours[0]:.1f}): it did not learn who is who"
    ]


def announce(
    console: Console, config: Config, record: dict, seconds: float | None = None
) -> None:
    """One line on the console for an epoch's record."""
    parts = [f"epoch {record['epoch']:>3}/{config.epochs}"]
    if "loss" in record:
        each = ", ".join(
            f"{name.removeprefix('loss_')} {value:.3f}"
            for name, value in record.items()
            if name.startswith("loss_")
        )
        parts.append(f"loss {record['loss']:.3f} ({each})")
    if "accuracy" in record:
        parts.append(f"accuracy {record['accuracy']:.3f}")
    if "clusters" in record:
        parts.append(f"C {record['clusters']}")
    if "nmi" in record:
        parts.append(f"purity {record['purity']:.3f} NMI {record['nmi']:.3f}")
    if "fused_rank1" in record:
        rank1, mean = 100 * record["fused_rank1"], 100 * record["fused_mAP"]
        parts.append(f"rank-1 {rank1:.1f} mAP {mean:.1f}")
    if seconds is not None:
        parts.append(f"{seconds:.1f} s")
    console.print("  ".join(parts), markup=False)
