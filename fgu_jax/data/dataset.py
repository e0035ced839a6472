"""A dataset: images for training, and labels that only evaluation is handed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fgu_jax.data.images import ImageSet
from fgu_jax.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Who is on each image of an ImageSet, and which camera took it.

    Attributes:
      identities: int32 [N]; real ones count from 1, 0 is a distractor, and -1 junk
        or, of training images, unknown.
      cameras: int32 [N], or None where they are not known.
    """

    identities: np.ndarray
    cameras: np.ndarray | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "identities", np.asarray(self.identities, np.int32))
        if self.cameras is None:
            return
        object.__setattr__(self, "cameras", np.asarray(self.cameras, np.int32))
        if self.cameras.shape != self.identities.shape:
            raise InputError(
                f"{len(self.identities)} identities and {len(self.cameras)} cameras: "
                "give one of each an image"
            )

    def __len__(self) -> int:
        return len(self.identities)

    def take(self, rows: Iterable[int]) -> "Labels":
        """The labels of these rows, in their order."""
        index = np.asarray(list(rows), np.int64)
        return Labels(
            identities=self.identities[index],
            cameras=None if self.cameras is None else self.cameras[index],
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Splits of a dataset; labels are None where nothing can be evaluated.

    Attributes:
      name: the dataset's name.
      train, train_labels: images to learn from, and their labels for evaluation only.
      query, query_labels, gallery, gallery_labels: the retrieval test.
      identity_names: what identity ``i`` was called is ``identity_names[i - 1]``;
        None where identities are numbers of the dataset's own.
      skipped: names of unreadable images that were left out, with the reason.
      found: what was met and counted on the way, such as junk images.
    """

    name: str
    train: ImageSet
    train_labels: Labels | None = None
    query: ImageSet | None = None
    query_labels: Labels | None = None
    gallery: ImageSet | None = None
    gallery_labels: Labels | None = None
    identity_names: tuple[str, ...] | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for split in ("train", "query", "gallery"):
            images, labels = getattr(self, split), getattr(self, f"{split}_labels")
            if images is not None and labels is not None and len(images) != len(labels):
                raise InputError(
                    f"{self.name}: {len(images)} {split} images and {len(labels)} "
                    "labels: give one label an image"
                )
