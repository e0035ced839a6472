"""From a finished run to what its report is made of."""

import numpy as np

from fgu_jax.config import Config
from fgu_jax.data import StreamedImages
from fgu_jax.embedding import fused
from fgu_jax.evaluation import Embed, Judge, Split
from fgu_jax.report.data import Ranked, ReportData, Retrieval


def gather(
    config: Config,
    history: list[dict],
    *,
    names: tuple[str, ...],
    images: np.ndarray | StreamedImages,
    clusters: np.ndarray,
    judge: Judge,
    embed: Embed,
) -> ReportData:
    """One pass of the trained network over training images, queries and gallery.

    Args:
      config, history, names, images, clusters: as in ``ReportData``.
      judge: who alone has labels; what it found last is of this network, or nothing.
      embed: images uint8 [N, H, W, 3] to global [N, D] and patches [U, N, d].
    """
    global_features, patches = embed(images)

    def ranked(split: Split) -> Ranked:
        return Ranked(
            names=split.names,
            images=split.images,
            features=fused(*embed(split.images))["fused"],
            labels=split.labels,
        )

    retrieval = None
    if judge.test is not None:
        query, gallery = map(ranked, judge.test)
        retrieval = Retrieval(query=query, gallery=gallery, metrics=judge.metrics)
    return ReportData(
        config=config,
        history=history,
        names=names,
        images=images,
        clusters=clusters,
        patches=patches,
        global_features=global_features,
        train_labels=judge.train_labels,
        retrieval=retrieval,
    )
