"""The paper's figures 2 to 4: a figure of merit over the values of one setting."""

import math
from pathlib import Path

from fgu_jax.ablation.scores import Score
from fgu_jax.ablation.tables import DATASETS, Table
from fgu_jax.report import style

_PANELS = (("rank1", "Rank-1, %"), ("mAP", "mAP, %"))


def write(
    table: Table, found: dict[str, dict[str, Score]], title: str, path: Path
) -> None:
    """Draws the table as a PNG: this project's figures with their spread, the paper's.

    Args:
      table: one whose settings are numbers.
      found: label to metric to score.
      title: whose figures are ours, for the legend.
      path: of the PNG.

    Raises:
      OSError: the file cannot be written.
    """
    theme = style.LIGHT
    labels = [label for label in table.settings if label in found]
    with style.applied(theme):
        made = style.figure(2 * style.CHART_WIDTH, 3.4)
        for axes, (metric, name) in zip(made.subplots(1, 2), _PANELS, strict=True):
            for k, (dataset, figures) in enumerate(table.published.items(), 1):
                place = 0 if metric == "rank1" else 1
                known = [(float(x), y[place]) for x, y in figures.items()]
                known = [(x, y) for x, y in known if y is not None]
                if known:
                    axes.plot(
                        *zip(*known, strict=True),
                        color=theme.series[k],
                        linestyle=style.LINES[k],
                        marker=style.MARKERS[k],
                        label=f"{DATASETS[dataset]}, paper",
                    )
            scores = [found[label][metric] for label in labels]
            spreads = [0.0 if math.isnan(s.spread) else 100 * s.spread for s in scores]
            axes.errorbar(
                [float(label) for label in labels],
                [100 * s.mean for s in scores],
                yerr=spreads,
                color=theme.series[0],
                marker=style.MARKERS[0],
                capsize=3,
                label=title,
            )
            axes.set_title(name)
            axes.set_xlabel(table.head)
        lines = (of[::-1] for of in made.axes[0].get_legend_handles_labels())
        made.legend(*lines, loc="outside lower center", ncols=3)  # ours first
        made.savefig(path, dpi=style.DOTS, metadata={"Software": None})
