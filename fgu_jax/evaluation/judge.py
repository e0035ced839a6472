"""The judge of a run: the one part of training that is handed labels.

The training path takes an ``ImageSet``, which has none; nothing goes from here back
into it but figures for the log.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from fgu_jax import retrieval
from fgu_jax.data import Dataset, Images, Labels, leaks, open_images
from fgu_jax.data.copies import find_copies
from fgu_jax.evaluation.clusters import scored
from fgu_jax.evaluation.matches import any_match, why_none
from fgu_jax.handcrafted.histogram import color_histogram
from fgu_jax.inference.passes import fused
from fgu_jax.progress import Progress

# Images uint8 [N, H, W, 3] to (global [N, D], patches [U, N, d]).
Embed = Callable[[Images], tuple[np.ndarray, np.ndarray]]

REPORTED = ("rank1", "rank5", "rank10", "mAP", "mINP")
CLUSTER_SCORES = (
    *("purity", "nmi", "ari", "v_measure"),
    *("pair_precision", "pair_recall", "pair_f1"),
)
_BLOCK = 512  # images described at once


@dataclasses.dataclass(frozen=True)
class Split:
    """The queries or the gallery: names, images uint8 [N, H, W, 3], and labels."""

    names: tuple[str, ...]
    images: Images
    labels: Labels


class Judge:
    """Retrieval metrics of a network, and how well clusters match identities.

    Attributes:
      train_labels: of the training images, or ``None``; for evaluation and the report.
      test: queries and gallery, or ``None`` where nothing can be ranked.
      warning: why nothing can be ranked though there are labels, in one line, or
        ``None``: training goes on without figures.
      note: of queries that have copies among the gallery, in one line, or ``None``.
      metrics: of the network that was judged last, by part; ``None`` before.

    Args:
      dataset: with or without labels; without, or ``None``, no figure is given.
      height, width: training size of the images in pixels.
      average_precision: ``hits`` or ``trapezoid``.
      stream: decode as needed: ``always``, ``never``, or by free memory (``auto``).
      progress: of decoding.
    """

    def __init__(
        self,
        dataset: Dataset | None,
        height: int,
        width: int,
        *,
        average_precision: str = "hits",
        stream: Literal["auto", "always", "never"] = "never",
        progress: Progress | None = None,
    ):
        self._average_precision = average_precision
        of_training = None if dataset is None else dataset.train_labels
        if of_training is not None and not of_training.known:
            of_training = None  # cameras and tracks alone are nothing to judge by
        self.train_labels = of_training
        self.test: tuple[Split, Split] | None = None
        self.metrics: dict[str, retrieval.Metrics] | None = None
        self.warning: str | None = None
        self.note: str | None = None
        if dataset is None or dataset.query is None or dataset.gallery is None:
            return
        if dataset.query_labels is None or dataset.gallery_labels is None:
            return
        labels = dataset.query_labels, dataset.gallery_labels
        if dataset.name == "folder":  # published ones are ranked as their papers do
            *found, self.note = find_copies(
                dataset.query, labels[0], dataset.gallery, labels[1]
            )
            labels = found[0], found[1]
        if not any_match(*labels):
            self.warning = f"nothing to evaluate: {why_none(*labels)}"
            return
        query, gallery = (
            Split(
                images.names,
                open_images(images, height, width, stream=stream, progress=progress),
                labels,
            )
            for images, labels in zip(
                (dataset.query, dataset.gallery), labels, strict=True
            )
        )
        self.test = (query, gallery)

    def leak_check(self, names: tuple[str, ...]) -> leaks.LeakCheck:
        """Whether the order of the training images tells who is on them."""
        labels = self.train_labels
        return leaks.check(names, None if labels is None else labels.identities)

    @property
    def protocol(self) -> str:
        """How its figures are taken, in a sentence; empty where it gives none."""
        if self.test is None:
            return ""
        return protocol(self.test[1].labels, (self._average_precision,))

    def network(self, embed: Embed) -> dict[str, float]:
        """Metrics of ``global``, ``local`` and ``fused``: ``fused_rank1`` and so on."""
        if self.test is None:
            return {}
        query, gallery = (fused(*embed(split.images)) for split in self.test)
        self.metrics = {part: self._rank(query[part], gallery[part]) for part in query}
        figures: dict[str, float] = {}
        for part, metrics in self.metrics.items():
            figures |= _reported(metrics, part)
        return figures

    def histogram(self) -> dict[str, float]:
        """Metrics of a colour histogram: what a network has to beat."""
        return self.handcrafted("histogram", color_histogram)

    def handcrafted(
        self,
        name: str,
        describe: Callable[[np.ndarray], np.ndarray],
        progress: Progress | None = None,
    ) -> dict[str, float]:
        """Metrics of features that no network made: ``NAME_rank1`` and so on.

        Args:
          name: of the features, before the names of the figures.
          describe: images uint8 [B, H, W, 3] to unit rows [B, F], each by itself.
          progress: called with (done, total, what).
        """
        if self.test is None:
            return {}
        query, gallery = (
            _described(split.images, describe, f"{name} of the {what}", progress)
            for split, what in zip(self.test, ("queries", "gallery"), strict=True)
        )
        return _reported(self._rank(query, gallery), name)

    def clusters(self, clusters: np.ndarray) -> dict[str, float]:
        """Scores of the training images' clusters, for the log only.

        As ``clusters.scored``: images of cluster -1 are not learnt from now, and are
        left out.
        """
        scores = scored(clusters, self.train_labels)
        if scores is None:
            return {}
        return {name: getattr(scores, name) for name in CLUSTER_SCORES}

    def _rank(self, query: np.ndarray, gallery: np.ndarray) -> retrieval.Metrics:
        assert self.test is not None
        return rank(
            query,
            gallery,
            *(split.labels for split in self.test),
            average_precision=self._average_precision,
        )


def _described(
    images: Images,
    describe: Callable[[np.ndarray], np.ndarray],
    what: str,
    progress: Progress | None,
) -> np.ndarray:
    """Features of all images, float32 [N, F], a block of images at a time."""
    features = np.zeros((0, 0), np.float32)
    for start in range(0, len(images), _BLOCK):
        rows = describe(np.asarray(images[start : start + _BLOCK]))
        if start == 0:  # one array from the first: the widest take gigabytes
            features = np.empty((len(images), rows.shape[1]), rows.dtype)
        features[start : start + len(rows)] = rows
        if progress:
            progress(start + len(rows), len(images), what)
    return features


def _reported(metrics: retrieval.Metrics, prefix: str) -> dict[str, float]:
    return {f"{prefix}_{name}": getattr(metrics, name) for name in REPORTED}


def rank(
    query: np.ndarray,
    gallery: np.ndarray,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    average_precision: str = "hits",
    distances: np.ndarray | None = None,
) -> retrieval.Metrics:
    """``retrieval.evaluate`` with identities and cameras from ``Labels``.

    With ``distances`` [Q, G], re-ranked ones, the features are not looked at.
    """
    return retrieval.evaluate(
        query,
        gallery,
        average_precision=average_precision,
        distances=distances,
        **of_labels(query_labels, gallery_labels),
    )


def of_labels(query: Labels, gallery: Labels) -> dict[str, Any]:
    """Identities, cameras and copies, as the functions of ``retrieval`` take them."""
    return {
        "query_ids": query.identities,
        "gallery_ids": gallery.identities,
        "query_cameras": query.cameras,
        "gallery_cameras": gallery.cameras,
        "query_copies": query.copies,
        "gallery_copies": gallery.copies,
    }


def protocol(gallery: Labels, average_precisions: tuple[str, ...]) -> str:
    """How figures are taken, in a sentence that a table can carry."""
    if gallery.cameras is None:
        left_out = "no cameras are known: nothing is left out"
        if gallery.copies is not None and (gallery.copies >= 0).any():
            left_out += " but files of the query's bytes"
    elif gallery.own_cameras:
        left_out = "no cameras are known: a query itself alone is left out"
    else:
        left_out = "gallery images of the query's identity and camera are left out"
    formula = {
        "hits": "the mean precision at hits",
        "trapezoid": "the trapezoid of 2015",
    }
    ap = " and ".join(formula[name] for name in average_precisions)
    return (
        f"Euclidean distance of unit features; {left_out}; junk is dropped, identity 0 "
        f"stays as a distractor; queries without a match are not counted; AP is {ap}"
    )
