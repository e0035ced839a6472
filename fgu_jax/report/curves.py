"""Charts over epochs, and the CMC: lines that differ by dash and marker too."""

from typing import TYPE_CHECKING

from fgu_jax.config import Config
from fgu_jax.inference.passes import PARTS
from fgu_jax.report.style import (
    CHART_WIDTH,
    LINES,
    MARKERS,
    Picture,
    Theme,
    epochs_below,
    figure,
)
from fgu_jax.retrieval import Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKS = (1, 5, 10)


def losses(history: list[dict], config: Config) -> Picture | None:
    """The losses by epoch; ``None`` where no epoch was trained."""
    trained = [record for record in history if "loss" in record]
    if not trained:
        return None
    epochs = [record["epoch"] for record in trained]
    merged = [record["epoch"] for record in trained if record.get("merged")]

    titles = _titles(config).items()

    def draw(theme: Theme) -> "Figure":
        made = figure(CHART_WIDTH, 3.9)
        panels = made.subplots(2, 2, sharex=True)
        for panel, (name, title) in zip(panels.flat, titles, strict=True):
            for epoch in merged:
                panel.axvline(epoch, color=theme.series[1], lw=0.8, ls=":")
            values = [record.get(name, 0.0) for record in trained]
            panel.plot(epochs, values, marker="." if len(epochs) < 40 else None)
            panel.set_title(title)
            panel.margins(y=0.12)
            panel.locator_params(axis="y", nbins=4)
        for panel in panels[1]:
            epochs_below(panel)
        return made

    first, last = trained[0], trained[-1]
    done = "made anew" if _anew(config) else "merged"
    note = f" Dotted lines: clusters were {done} after that epoch." if merged else ""
    return Picture(
        stem="losses",
        title="Losses",
        caption=f"Mean of each epoch's steps; each panel has its own scale.{note}",
        alt=(
            f"Four line charts by epoch. The total loss goes from {first['loss']:.3f} "
            f"in epoch {first['epoch']} to {last['loss']:.3f} in epoch {last['epoch']}."
        ),
        draw=draw,
    )


def _titles(config: Config) -> dict[str, str]:
    """The four losses as they are in the records, and what they are called."""
    repelled, patch = "repelled, eq (2)", "patch (PEDAL), eq (6)"
    if config.patch_loss == "clusters":
        patch = "patch, repelled as eq (2)"
    if config.refines and config.refine:
        repelled = "repelled, target refined"
    if config.refines and config.smooth_patches:
        patch = "patch, target smoothed"
    return {
        "loss": "total, eq (7)",
        "loss_repelled": repelled,
        "loss_attracted": "attracted, eq (3)",
        "loss_patch": patch,
    }


def _anew(config: Config) -> bool:
    return config.clustering == "kmeans" or config.merge_from == "images"


def _steps(config: Config) -> str:
    """How the clusters of one epoch become those of the next, in a sentence."""
    if config.clustering == "kmeans":
        return "K-means makes all clusters anew."
    if config.distance == "jaccard":
        if config.merge_criterion == "dbscan":
            return "DBSCAN makes all clusters anew, up to a distance."
        if _anew(config):
            return "Clusters are made anew: single images merge up to a distance."
        return "A merge step merges clusters on, up to a distance."
    if not config.merge_fraction:
        return "No clusters merge."
    if _anew(config):
        return (
            "Clusters are made anew of single images, each time fewer by a fixed share "
            "of the number of images."
        )
    return "A merge step removes a fixed share of the number of images."


def clusters(history: list[dict], config: Config) -> Picture:
    """Number of clusters, purity and NMI by epoch."""
    epochs = [record["epoch"] for record in history]
    counts = [record["clusters"] for record in history]
    judged = [record for record in history if "nmi" in record]

    def draw(theme: Theme) -> "Figure":
        made = figure(CHART_WIDTH, 3.9 if judged else 2.4)
        panels = made.subplots(2 if judged else 1, 1, sharex=True, squeeze=False)[:, 0]
        panels[0].step(epochs, counts, where="post")
        panels[0].plot(epochs[-1:], counts[-1:], "o", color=theme.series[0])
        panels[0].set_ylim(0, max(counts) * 1.08)
        panels[0].set_title("C, number of clusters")
        if judged:
            _judgement(panels[1], judged)
        epochs_below(panels[-1])
        return made

    alt = f"The number of clusters goes from {counts[0]:,} to {counts[-1]:,}."
    caption = _steps(config)
    if judged:
        last = judged[-1]
        alt += f" Purity ends at {last['purity']:.3f}, NMI at {last['nmi']:.3f}."
        caption += (
            " Purity and normalised mutual information (NMI) compare the clusters with "
            "the identities; they are measured and never learnt from. Purity is 1 "
            "where each image is a cluster of its own."
        )
    return Picture(
        stem="clusters", title="Clusters by epoch", caption=caption, alt=alt, draw=draw
    )


def _judgement(panel, judged: list[dict]) -> None:
    for i, (name, label) in enumerate((("purity", "purity"), ("nmi", "NMI"))):
        panel.plot(
            [record["epoch"] for record in judged],
            [record[name] for record in judged],
            linestyle=LINES[i],
            marker=MARKERS[i],
            markevery=max(1, len(judged) // 10),
            label=label,
        )
    panel.set_title("against identities, 0 to 1")
    low = min(min(record["purity"], record["nmi"]) for record in judged)
    panel.set_ylim(max(0, low - 0.1), 1.02)
    panel.legend(ncols=2)


def retrieval_by_epoch(history: list[dict]) -> Picture | None:
    """Rank-1 and mAP of the three features by epoch; ``None`` without evaluation."""
    judged = [record for record in history if "fused_mAP" in record]
    if not judged:
        return None
    epochs = [record["epoch"] for record in judged]
    first, last = judged[0], judged[-1]

    def draw(theme: Theme) -> "Figure":
        made = figure(CHART_WIDTH, 3.2)
        panels = made.subplots(1, 2, sharex=True)
        shown = (("rank1", "rank-1, %"), ("mAP", "mAP, %"))
        for panel, (figure_name, title) in zip(panels, shown, strict=True):
            for i, part in enumerate(PARTS):
                key = f"{part}_{figure_name}"
                panel.plot(
                    epochs,
                    [100 * record[key] for record in judged],
                    linestyle=LINES[i],
                    marker=MARKERS[i],
                    label=part,
                )
            baseline = first.get(f"histogram_{figure_name}")
            if baseline is not None:
                panel.axhline(
                    100 * baseline,
                    color=theme.faint,
                    linestyle="-.",
                    linewidth=1.3,
                    label="colour histogram",
                )
            panel.set_title(title)
            panel.set_ylim(0, 101 if figure_name == "rank1" else None)
            panel.margins(y=0.1)
            epochs_below(panel)
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8.5)
        return made

    return Picture(
        stem="retrieval",
        title="Rank-1 and mAP by epoch",
        caption=(
            "Of the query images against the gallery. The last epoch is the result; "
            "epoch 0 is before training."
        ),
        alt=(
            f"Two line charts. Fused rank-1 goes from {_percent(first['fused_rank1'])} "
            f"in epoch {first['epoch']} to {_percent(last['fused_rank1'])} in epoch "
            f"{last['epoch']}, mAP from {_percent(first['fused_mAP'])} to "
            f"{_percent(last['fused_mAP'])}."
        ),
        draw=draw,
    )


def cmc(metrics: dict[str, Metrics], history: list[dict], labels: str = "") -> Picture:
    """The cumulative match characteristic of the trained features.

    Args:
      metrics: of ``fused``, ``global`` and ``local``.
      history: whose epoch 0 has the figures to compare with.
      labels: that the network had at its start, in a clause; empty of none.
    """
    first = history[0]
    start = "start, fused" if labels else "untrained, fused"
    points = {
        start: [first.get(f"fused_rank{k}") for k in RANKS],
        "colour histogram": [first.get(f"histogram_rank{k}") for k in RANKS],
    }
    if history[-1]["epoch"] == 0:
        del points[start]

    def draw(theme: Theme) -> "Figure":
        made = figure(CHART_WIDTH, 3.2)
        panel = made.subplots()
        for i, part in enumerate(PARTS):
            values = [100 * share for share in metrics[part].cmc]
            ranks = range(1, len(values) + 1)
            panel.plot(ranks, values, linestyle=LINES[i], label=part)
        for (label, shares), marker in zip(points.items(), "x+", strict=False):
            heights = [100 * share for share in shares if share is not None]
            if len(heights) == len(RANKS):
                panel.plot(
                    RANKS,
                    heights,
                    marker,
                    color=theme.faint,
                    label=label,
                    mew=1.6,
                    ms=7,
                )
        panel.set_xlabel("first k of the ranking")
        panel.set_ylabel("queries with a match, %")
        panel.set_ylim(None, 101)
        panel.set_xlim(0.4, 50.6)
        panel.set_xticks([1, 5, 10, 20, 30, 40, 50])
        panel.legend(loc="lower right", fontsize=8.5)
        return made

    fused = metrics["fused"]
    said = f" The run {labels}." if labels and start in points else ""
    skipped = f"; {fused.num_skipped:,} have no match" if fused.num_skipped else ""
    return Picture(
        stem="cmc",
        title="CMC",
        caption=(
            "Share of queries that find a match among the first k of the gallery, over "
            f"{fused.num_queries:,} queries{skipped}.{said}"
        ),
        alt=(
            "Line chart of the cumulative match characteristic. Fused: "
            + ", ".join(f"{_percent(fused.cmc[k - 1])} at {k}" for k in (1, 5, 10, 20))
            + "."
        ),
        draw=draw,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
