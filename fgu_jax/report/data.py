"""What a report is made of: arrays of a finished run, with labels or without."""

import dataclasses

import numpy as np
import scipy.sparse as sp

from fgu_jax.clustering import Clustering, Standing
from fgu_jax.config import Config
from fgu_jax.data import Images, Labels
from fgu_jax.errors import InputError
from fgu_jax.evaluation.clusters import lines, scored
from fgu_jax.evaluation.judge import Embed, Judge, Split
from fgu_jax.inference.passes import fused
from fgu_jax.messages import printable
from fgu_jax.retrieval import Metrics
from fgu_jax.retrieval.protocol import UNKNOWN

_FITS = 7  # letters under an image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranked(Split):
    """One side of the retrieval test.

    Attributes:
      features: float [N, D + U d], ``fused``: the global feature, then the patches.
    """

    features: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Both sides of the retrieval test.

    Attributes:
      query, gallery: images, features, labels.
      metrics: of ``fused``, ``global`` and ``local``, where they are known already;
        ``None``: the report ranks these features itself.
    """

    query: Ranked
    gallery: Ranked
    metrics: dict[str, Metrics] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportData:
    """A finished run, as arrays.

    Attributes:
      config: the run's configuration.
      history: one record an epoch, as in ``metrics.jsonl``.
      names: names of the N training images, by row.
      images: uint8 [N, H, W, 3], RGB, by row.
      clusters: int [N], cluster of each image.
      patches: float [U, N, d], unit rows.
      global_features: float [N, D], unit rows.
      train_labels: of the training images, or ``None``; shown, never learnt from.
      retrieval: query and gallery, or ``None`` where nothing can be ranked.
      similarities: sparse [N, N], the graph that was clustered, or ``None``.
      standing: of the images to their clusters, with it.
      told: of the clusters, a sentence each.
      labels: that the network had at its start, in a clause; empty of none.
      identity_names: what identity ``i`` is called is ``identity_names[i - 1]``;
        where there are none, its number.
    """

    config: Config
    history: list[dict]
    names: tuple[str, ...]
    images: Images
    clusters: np.ndarray
    patches: np.ndarray
    global_features: np.ndarray
    train_labels: Labels | None = None
    retrieval: Retrieval | None = None
    similarities: sp.csr_array | None = None
    standing: Standing | None = None
    told: tuple[str, ...] = ()
    labels: str = ""
    identity_names: tuple[str, ...] = ()

    def called(self, identity: int) -> str:
        """What is written under an image of an identity, short enough to fit there."""
        if identity == UNKNOWN:
            return "unknown"
        if not 0 < identity <= len(self.identity_names):
            return str(identity)
        name = printable(self.identity_names[identity - 1])
        # Of longer names the end: it tells ``elephant_07`` from ``elephant_08``.
        return name if len(name) <= _FITS else "…" + name[1 - _FITS :]

    def __post_init__(self) -> None:
        if not self.history:
            raise InputError("history has 0 records: give one an epoch")
        rows = {
            "names": len(self.names),
            "clusters": len(self.clusters),
            "patches": self.patches.shape[1] if self.patches.ndim == 3 else -1,
            "global_features": len(self.global_features),
        }
        if self.train_labels is not None:
            rows["train_labels"] = len(self.train_labels)
        _agree(rows, "images", _pictures(self.images, "images"))
        if self.retrieval is None:
            return
        width = (
            self.global_features.shape[1] + len(self.patches) * self.patches.shape[2]
        )
        for side in ("query", "gallery"):
            part: Ranked = getattr(self.retrieval, side)
            rows = {
                f"{side} names": len(part.names),
                f"{side} features": len(part.features),
                f"{side} labels": len(part.labels),
            }
            name = f"{side} images"
            _agree(rows, name, _pictures(part.images, name))
            if part.features.ndim != 2 or part.features.shape[1] != width:
                raise InputError(
                    f"{side} features have shape {part.features.shape}: global and "
                    f"patch features together are {width} wide"
                )


def _pictures(images: Images, name: str) -> int:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise InputError(
            f"{name} are {images.dtype}{list(images.shape)}: give uint8 [N, H, W, 3]"
        )
    if 0 in images.shape:
        raise InputError(f"{name} have shape {list(images.shape)}: give at least one")
    return len(images)


def _agree(rows: dict[str, int], than: str, count: int) -> None:
    for name, length in rows.items():
        if length != count:
            raise InputError(
                f"{name} has {max(length, 0)} rows and {than} has {count}: give one "
                "for each image"
            )


def gather(
    config: Config,
    history: list[dict],
    *,
    names: tuple[str, ...],
    images: Images,
    made: Clustering,
    judge: Judge,
    embed: Embed,
    labels: str = "",
    identity_names: tuple[str, ...] = (),
) -> ReportData:
    """A finished run's arrays, its features by the network as it is now.

    Args:
      config, history, names, images, labels, identity_names: as in ``ReportData``.
      made: the clusters that the run ends with.
      judge: who alone has labels; what it found last is of this network, or nothing.
      embed: images uint8 [N, H, W, 3] to global [N, D] and patches [U, N, d], known
        from the last epoch where it embeds each set once.
    """
    global_features, patches = embed(images)

    def ranked(split: Split) -> Ranked:
        return Ranked(**vars(split), features=fused(*embed(split.images))["fused"])

    retrieval = None
    if judge.test is not None:
        query, gallery = map(ranked, judge.test)
        retrieval = Retrieval(query=query, gallery=gallery, metrics=judge.metrics)
    return ReportData(
        config=config,
        history=history,
        names=names,
        images=images,
        clusters=made.labels,
        similarities=made.graph.similarities,
        standing=made.standing,
        labels=labels,
        identity_names=identity_names,
        told=tuple(lines(made, scored(made.labels, judge.train_labels))),
        patches=patches,
        global_features=global_features,
        train_labels=judge.train_labels,
        retrieval=retrieval,
    )
