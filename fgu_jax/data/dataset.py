"""A dataset, parts of it, and identities held out; only evaluation sees labels."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fgu_jax.data.decode import Resize
from fgu_jax.data.images import ImageSet
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Who is on each image of an ImageSet, and which camera took it.

    Attributes:
      identities: int32 [N]; real ones count from 1, 0 is a distractor, and -1 junk
        or, of training images, unknown.
      cameras: int32 [N], or None where they are not known.
      copies: int32 [N], equal numbers for files of equal bytes, -1 where there is no
        other; None where nobody looked (``find_copies``).
      tracks: int32 [N], equal numbers from 1 for images of one track, which show one
        individual; 0 where an image is of none; None where no track is known.
      own_cameras: no camera is known, and ``cameras`` are made up, one for each image
        or track, so that a query does not meet itself (``split_queries``).
    """

    identities: np.ndarray
    cameras: np.ndarray | None
    copies: np.ndarray | None = None
    tracks: np.ndarray | None = None
    own_cameras: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "identities", np.asarray(self.identities, np.int32))
        for name in ("cameras", "tracks"):
            given = getattr(self, name)
            if given is None:
                continue
            object.__setattr__(self, name, np.asarray(given, np.int32))
            if len(given) != len(self.identities):
                raise InputError(
                    f"{len(self.identities)} identities and {len(given)} {name}: "
                    "give one of each an image"
                )

    def __len__(self) -> int:
        return len(self.identities)

    @property
    def known(self) -> bool:
        """Whether it is known of any image who is on it."""
        return bool((self.identities != UNKNOWN).any())

    def take(self, rows: Iterable[int]) -> "Labels":
        """The labels of these rows, in their order."""
        index = np.asarray(list(rows), np.int64)
        return Labels(
            identities=self.identities[index],
            **{
                name: None if (of := getattr(self, name)) is None else of[index]
                for name in ("cameras", "copies", "tracks")
            },
            own_cameras=self.own_cameras,
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Splits of a dataset; labels are None where nothing can be evaluated.

    Attributes:
      name: the dataset's name.
      train, train_labels: images to learn from, and their labels: identities are for
        evaluation only. None where neither identity, camera nor track is known.
      query, query_labels, gallery, gallery_labels: the retrieval test.
      identity_names: what identity ``i`` was called is ``identity_names[i - 1]``;
        None where identities are numbers of the dataset's own.
      camera_names: what a camera's number was called, where it was no number.
      skipped: names of unreadable images that were left out, with the reason.
      found: what was met and counted on the way, such as junk images.
      reading: what was taken of the files that are there, and what was left out.
      columns: those of a table of labels, as it has them, a row by an image's name.
    """

    name: str
    train: ImageSet
    train_labels: Labels | None = None
    query: ImageSet | None = None
    query_labels: Labels | None = None
    gallery: ImageSet | None = None
    gallery_labels: Labels | None = None
    identity_names: tuple[str, ...] | None = None
    camera_names: Mapping[int, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, int] = field(default_factory=dict)
    reading: Reading | None = None
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for split in ("train", "query", "gallery"):
            images, labels = getattr(self, split), getattr(self, f"{split}_labels")
            if images is not None and labels is not None and len(images) != len(labels):
                raise InputError(
                    f"{self.name}: {len(images)} {split} images and {len(labels)} "
                    "labels: give one label an image"
                )


def resized_by(dataset: Dataset, resize: Resize) -> Dataset:
    """The dataset with images that come to their size by ``decode.resized``."""
    return replace(
        dataset,
        **{
            split: replace(images, resize=resize)
            for split in ("train", "query", "gallery")
            if (images := getattr(dataset, split)) is not None
        },
    )


def limit_rows(dataset: Dataset, k: int) -> Dataset:
    """The dataset with its first ``k`` training rows.

    Raises:
      InputError: ``k`` is below 1. More than there are is all of them.
    """
    if k < 1:
        raise InputError(f"limit={k}: keep at least 1 of {len(dataset.train)} images")
    rows = range(min(k, len(dataset.train)))
    return _train_on(dataset, rows)


def limit_identities(dataset: Dataset, k: int, seed: int = 0) -> Dataset:
    """The dataset with the training images of ``k`` of its identities.

    The labels choose the subset and do nothing else. Which identities: those whose
    SHA-256 with ``seed`` is lowest, so that ``k`` + 1 adds one and takes none away.

    Raises:
      InputError: no labels, or ``k`` is below 1 or above the number of identities.
    """
    labels = _labels(dataset, "limit_identities")
    chosen = _choose(labels, k, seed, "limit_identities", spare=0)
    return _train_on(dataset, np.flatnonzero(np.isin(labels.identities, chosen)))


def half_of_identities(dataset: Dataset, half: str) -> Dataset:
    """The dataset with the training images of one half of its identities.

    The labels choose the subset and do nothing else. The identities are in the order
    of ``limit_identities`` at seed 0, whatever the run's: the two halves have none in
    common and are all of them, and of an odd number the second has one more. Images
    of nobody known are in neither.

    Args:
      dataset: with identities.
      half: ``first_half`` or ``second_half``.

    Raises:
      InputError: no labels, or fewer than 2 identities.
    """
    labels = _labels(dataset, "identities")
    count = len(_known(labels))
    if count < 2:
        raise InputError(
            f"identities={half}: the training split has {count} identities, a half "
            "needs 2 or more"
        )
    chosen = _choose(labels, count, 0, "identities", spare=0)
    cut = count // 2
    chosen = chosen[:cut] if half == "first_half" else chosen[cut:]
    return _train_on(dataset, np.flatnonzero(np.isin(labels.identities, chosen)))


def only_known(dataset: Dataset) -> Dataset:
    """The dataset with the training images of known identities alone.

    Raises:
      InputError: no labels.
    """
    if dataset.train_labels is None:
        raise InputError(
            f"pretraining needs identities, and {dataset.name} has none: give a "
            "pattern or a CSV with identities"
        )
    known = np.flatnonzero(dataset.train_labels.identities > 0)
    return _train_on(dataset, known)


def hold_out_identities(dataset: Dataset, k: int, seed: int = 0) -> Dataset:
    """The dataset with ``k`` training identities made its query and gallery.

    Choices (hyper-parameters, presets) are made on these, so that the official query
    and gallery stay unseen. Distractors (identity 0) stay in the training split.

    Raises:
      InputError: no labels, or ``k`` is below 1 or leaves no identity to train on.
    """
    labels = _labels(dataset, "holdout_identities")
    chosen = _choose(labels, k, seed, "holdout_identities", spare=1)
    held = np.isin(labels.identities, chosen)
    rows = np.flatnonzero(held)
    query, query_labels, gallery, gallery_labels = split_queries(
        dataset.train.take(rows), labels.take(rows)
    )
    return replace(
        _train_on(dataset, np.flatnonzero(~held)),
        query=query,
        query_labels=query_labels,
        gallery=gallery,
        gallery_labels=gallery_labels,
    )


def split_queries(
    images: ImageSet, labels: Labels
) -> tuple[ImageSet, Labels, ImageSet, Labels]:
    """Query and gallery of images that have no such split.

    The first image, by row, of each (identity, camera) is a query; all images are the
    gallery. Evaluation leaves out gallery images of the query's own identity and
    camera, so a query never meets itself. Without cameras each image is given a camera
    of its own, and then only the query itself is left out.

    Returns:
      query, its labels, gallery, its labels.
    """
    cameras = labels.cameras
    pairs = np.stack(
        [
            labels.identities,
            np.zeros_like(labels.identities) if cameras is None else cameras,
        ]
    )
    first = np.sort(np.unique(pairs, axis=1, return_index=True)[1])
    first = first[labels.identities[first] > 0]
    if cameras is None:
        labels = replace(labels, cameras=np.arange(len(labels)), own_cameras=True)
    return images.take(first), labels.take(first), images, labels


def _train_on(dataset: Dataset, rows) -> Dataset:
    labels = dataset.train_labels
    return replace(
        dataset,
        train=dataset.train.take(rows),
        train_labels=None if labels is None else labels.take(rows),
    )


def _labels(dataset: Dataset, field: str) -> Labels:
    if dataset.train_labels is None or not dataset.train_labels.known:
        raise InputError(
            f"{field} needs identities, and {dataset.name} has none: give a pattern "
            "or a CSV with identities, or leave it out"
        )
    return dataset.train_labels


def _known(labels: Labels) -> list[int]:
    return [int(i) for i in np.unique(labels.identities) if i > 0]


def _choose(labels: Labels, k: int, seed: int, field: str, spare: int) -> np.ndarray:
    """``k`` identities by hash: the same ones on every machine and NumPy."""
    identities = _known(labels)
    if not 1 <= k <= len(identities) - spare:
        raise InputError(
            f"{field}={k}: the training split has {len(identities)} identities, "
            f"give 1 to {max(len(identities) - spare, 1)}"
        )

    def lot(identity: int) -> bytes:
        return hashlib.sha256(f"{seed}/{identity}".encode()).digest()

    return np.asarray(sorted(identities, key=lot)[:k])
