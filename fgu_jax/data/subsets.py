"""Smaller datasets for small machines, and identities held out to choose by."""

import hashlib
from dataclasses import replace

import numpy as np

from fgu_jax.data.dataset import Dataset, Labels
from fgu_jax.data.images import ImageSet
from fgu_jax.errors import InputError


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
        labels = replace(labels, cameras=np.arange(len(labels)))
    return images.take(first), labels.take(first), images, labels


def _train_on(dataset: Dataset, rows) -> Dataset:
    labels = dataset.train_labels
    return replace(
        dataset,
        train=dataset.train.take(rows),
        train_labels=None if labels is None else labels.take(rows),
    )


def _labels(dataset: Dataset, field: str) -> Labels:
    if dataset.train_labels is None:
        raise InputError(
            f"{field} needs identities, and {dataset.name} has none: give a pattern "
            "or a CSV with identities, or leave it out"
        )
    return dataset.train_labels


def _choose(labels: Labels, k: int, seed: int, field: str, spare: int) -> np.ndarray:
    """``k`` identities by hash: the same ones on every machine and NumPy."""
    identities = [int(i) for i in np.unique(labels.identities) if i > 0]
    if not 1 <= k <= len(identities) - spare:
        raise InputError(
            f"{field}={k}: the training split has {len(identities)} identities, "
            f"give 1 to {max(len(identities) - spare, 1)}"
        )

    def lot(identity: int) -> bytes:
        return hashlib.sha256(f"{seed}/{identity}".encode()).digest()

    return np.asarray(sorted(identities, key=lot)[:k])
