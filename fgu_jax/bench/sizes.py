"""The sizes of each piece: its command-line flags, with Market-1501's as defaults."""

import dataclasses
from typing import Any


def _size(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """Of the training step."""

    backbone: str = _size(
        "resnet50", "any; resnet50, resnet18 and efficientnet_lite0 have a rival"
    )
    batch: int = _size(8, "images a step")
    height: int = _size(256, "pixels")
    width: int = _size(128, "pixels")
    patches: int = _size(4, "U; divides the map's height")
    images: int = _size(12936, "N, rows of the tables")
    precision: str = _size("float32", "float32 or bfloat16, of the backbone")
    keep_statistics: int = _size(
        0, "1: the backbone's BatchNorm keeps its statistics, as in --preset=tuned"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed:
    """Of embedding."""

    backbone: str = _size("efficientnet_lite0", "as of step")
    images: int = _size(256, "how many, a multiple of 64")
    height: int = _size(128, "pixels")
    width: int = _size(64, "pixels")
    patches: int = _size(4, "U; divides the map's height")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Merge:
    """Of merging."""

    images: int = _size(12936, "N")
    width: int = _size(2048, "D")
    merges: int = _size(0, "how many; 0: one in twenty of N")
    variants: str = _size(
        "fresh,half,duplicates",
        "of the clusters: every image its own, half of the merges done, one row in ten "
        "a copy and as many merges more",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Of evaluation."""

    features: str = _size(
        "",
        "an .npz of query, gallery, query_ids, gallery_ids, query_cameras, "
        "gallery_cameras; else drawn",
    )
    queries: int = _size(3368, "Q, of drawn features")
    gallery: int = _size(15913, "G, of drawn features")
    width: int = _size(512, "D, of drawn features")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rerank(Evaluate):
    """Of re-ranking."""

    k1: int = _size(20, "k1")
    k2: int = _size(6, "k2")
    rival_images: int = _size(
        4000, "images of the row where the dense rival runs too; it holds N x N often"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """Of clustering."""

    features: str = _size(
        "", "as of evaluate: its gallery without the distractors; else drawn"
    )
    images: int = _size(13115, "N, of drawn features")
    width: int = _size(512, "D, of drawn features")
    rival_images: int = _size(4000, "images of the row where others run too; 0: none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pedal:
    """Of the losses over large tables."""

    images: int = _size(12936, "N")
    batch: int = _size(42, "B")
    patches: int = _size(6, "U")
    width: int = _size(256, "d")
    neighbors: int = _size(15, "k")
    global_batch: int = _size(16, "B of the repelled loss")
    global_width: int = _size(2048, "D of the repelled loss")
    clusters: int = _size(662, "C of the repelled loss's second row")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Of the updates of the tables."""

    images: int = _size(12936, "N, rows of both tables")
    batch: int = _size(32, "B")
    global_width: int = _size(2048, "D")
    patches: int = _size(6, "U")
    width: int = _size(256, "d")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decode:
    """Of decoding."""

    images: int = _size(2000, "how many pictures")
    height: int = _size(384, "pixels, of the result")
    width: int = _size(128, "pixels, of the result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
    """Of the epoch."""

    backbone: str = _size("resnet_tiny", "any backbone")
    identities: int = _size(40, "drawn, for training")
    height: int = _size(64, "pixels")
    width: int = _size(32, "pixels")
    patches: int = _size(4, "U")
    batch: int = _size(32, "images a step")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Epoch):
    """Of an epoch of ``tuned``."""

    backbone: str = _size("efficientnet_lite0", "as of step")
    identities: int = _size(100, "drawn, about nine images of each")
    height: int = _size(128, "pixels")
    width: int = _size(64, "pixels")
    batch: int = _size(64, "images a step, a multiple of 4")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """Of the simulated devices."""

    backbone: str = _size("resnet_tiny", "any backbone")
    batch: int = _size(32, "images a step, over all devices")
    images: int = _size(256, "N")
    height: int = _size(64, "pixels")
    width: int = _size(32, "pixels")
    patches: int = _size(4, "U")
    steps: int = _size(3, "how many are compared")
    most_devices: int = _size(8, "1, 2, 4 ... up to this many")


_PIECES = (
    *(Step, Embed, Merge, Evaluate, Rerank, Cluster),
    *(Pedal, Memory, Decode, Recipe, Epoch, Scale),
)
SIZES: dict[str, type] = {of.__name__.lower(): of for of in _PIECES}
