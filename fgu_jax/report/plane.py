"""The features in the plane: t-SNE where scikit-learn is installed, else PCA.

t-SNE in NumPy alone would be slow or a library of its own, and scikit-learn is too
much to ask of everybody for one picture: it is the optional extra ``report``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fgu_jax.report.data import ReportData
from fgu_jax.report.style import CHART_WIDTH, MARKERS, Picture, Theme, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = 1500  # t-SNE of these takes seconds, and more points hide one another
GROUPS = 12
_COLUMNS = 4  # of the legend: names of seven letters are no wider than a panel
_COMPONENTS = 50
_FEWEST = 6  # images, for t-SNE


def principal_components(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along the principal axes, and their shares of the variance.

    Args:
      features: float [N, D].

    Returns:
      float64 [N, min(N, D)], each axis pointing where its largest entry is positive;
      float64 [min(N, D)], fractions that sum to 1, or zeros where all rows are equal.

    >>> points, share = principal_components(np.array([[0.0, 0], [1, 0], [5, 0]]))
    >>> points[:, 0].round(6).tolist(), share.round(6).tolist()
    ([-2.0, -1.0, 3.0], [1.0, 0.0])
    """
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0, keepdims=True)
    # The smaller of both products has what is asked for in a third of an SVD's time.
    if len(centred) <= centred.shape[1]:
        variance, vectors = np.linalg.eigh(centred @ centred.T)
        variance = np.maximum(variance, 0)
        points = vectors * np.sqrt(variance)[None, :]
    else:
        variance, vectors = np.linalg.eigh(centred.T @ centred)
        variance = np.maximum(variance, 0)
        points = centred @ vectors
    points, variance = points[:, ::-1], variance[::-1]
    sign = np.sign(points[np.abs(points).argmax(axis=0), np.arange(len(variance))])
    points = points * np.where(sign == 0, 1, sign)[None, :]
    total = float(variance.sum())
    return points, variance / total if total else np.zeros_like(variance)


def project(features: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Points [N, 2] for features [N, D], and the name of the method that made them."""
    points, share = principal_components(features)
    # Points that all lie on one spot have no neighbourhoods to keep.
    if len(features) >= _FEWEST and share.any():
        try:
            from sklearn.manifold import TSNE
            from threadpoolctl import threadpool_limits
        except ImportError:
            pass
        else:
            perplexity = min(30.0, (len(features) - 1) / 3)
            tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed)
            method = f"t-SNE (scikit-learn, perplexity {perplexity:.0f})"
            # OpenMP's threads wait for one another in a spin: on a machine that does
            # other work too, two were ten times slower than one.
            with threadpool_limits(1):
                return tsne.fit_transform(points[:, :_COMPONENTS]), method
    flat = np.zeros((len(points), 2))
    flat[:, : points.shape[1]] = points[:, :2]
    percent = 100 * share[:2].sum()
    return flat, f"PCA (first two axes, {percent:.0f}% of the variance)"


def plane(data: ReportData) -> Picture | None:
    """Global features of training images; ``None`` for a single image."""
    count = min(IMAGES, len(data.images))
    if count < 2:
        return None
    points, method = project(data.global_features[:count], data.config.seed)
    panels: list[tuple[str, np.ndarray, Callable[[int], str]]] = [
        ("by cluster", data.clusters[:count], str)
    ]
    if data.train_labels is not None:
        # Distractors and unknown ones (0, -1) are no group of alike images.
        identities = data.train_labels.identities[:count]
        who = np.where(identities > 0, identities, -1)
        panels.append(("by identity", who, data.called))

    def draw(theme: Theme) -> "Figure":
        made = figure(CHART_WIDTH * len(panels), CHART_WIDTH)
        for axes, (title, groups, called) in zip(
            made.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _scatter(axes, theme, points, groups)
            axes.set_title(title)
            axes.set_axis_off()
            axes.set_aspect("equal", "datalim")
            if axes.get_legend_handles_labels()[0]:
                legend = axes.legend(
                    loc="upper center",
                    bbox_to_anchor=(0.5, 0),
                    ncols=_COLUMNS,
                    fontsize=8,
                    columnspacing=1,
                    handletextpad=0.2,
                )
                # Not as labels: one that begins with _ has no place in a legend.
                for text in legend.get_texts():
                    text.set_text(called(int(text.get_text())))
        return made

    sampled = (
        f"the first {count:,} of {len(data.images):,} images by row"
        if count < len(data.images)
        else f"all {count:,} images"
    )
    if method.startswith("PCA") and count >= _FEWEST:
        method += "; with scikit-learn installed this is t-SNE"
    return Picture(
        stem="plane",
        title="The features in the plane",
        caption=(
            f"Global features of {sampled}, by {method}. The largest groups among "
            f"them, at most {GROUPS}, have a colour and a shape, all others are small "
            "dots. "
            "Distances across the picture say little, neighbourhoods more."
        ),
        alt=f"Scatter plot of {count:,} images, {' and '.join(t for t, *_ in panels)}.",
        draw=draw,
        is_sheet=len(panels) > 1,
    )


def _scatter(axes, theme: Theme, points: np.ndarray, groups: np.ndarray) -> None:
    numbers, counts = np.unique(groups[groups >= 0], return_counts=True)
    order = np.lexsort((numbers, -counts))[:GROUPS]
    marked = numbers[order][counts[order] > 1]
    rest = ~np.isin(groups, marked)
    dots = 10 if len(points) < 200 else 4
    axes.scatter(*points[rest].T, s=dots, color=theme.faint, alpha=0.6, linewidths=0)
    for i, number in enumerate(marked):
        color = theme.series[i % len(theme.series)]
        # Seven colours and seven shapes out of step: no pair comes twice.
        marker = MARKERS[(i + i // len(theme.series)) % len(MARKERS)]
        axes.scatter(
            *points[groups == number].T,
            s=26,
            color=color,
            marker=marker,
            edgecolors=theme.ground,
            linewidths=0.5,
            label=str(number),
        )
