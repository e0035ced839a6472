"""Features of new images beside those of images whose clusters are known."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fgu_jax.data import Labels
from fgu_jax.errors import InputError
from fgu_jax.inference.feature_file import Features, read_features
from fgu_jax.messages import short
from fgu_jax.retrieval.protocol import UNKNOWN
from fgu_jax.runs.clusters import Table, read_clusters


class Beside(NamedTuple):
    """All images, known and new.

    Attributes:
      features: of all, the known ones of a file of their own first.
      known: int32 [N], the cluster of the table that an image is in; -1: a new image.
      table: the known clusters.
      notes: what was understood of the table or is taken on trust, a line each.
    """

    features: Features
    known: np.ndarray
    table: Table
    notes: tuple[str, ...] = ()

    def called(self, labels: np.ndarray) -> tuple[str, ...]:
        """What clusters int [N] are called: known ones as they were, new ones on."""
        names = self.table.called
        taken = [int(name) for name in names if name.isascii() and name.isdigit()]
        fresh = max(taken, default=-1) + 1
        of: dict[int, str] = {}
        for label, known in zip(labels.tolist(), self.known.tolist(), strict=True):
            if known >= 0:
                of[label] = names[known]
        said = []
        for label in range(int(labels.max()) + 1):
            if label not in of:
                of[label], fresh = str(fresh), fresh + 1
            said.append(of[label])
        return tuple(said)

    def individuals(self, labels: np.ndarray) -> dict[int, str]:
        """Names of clusters int [N], of those known ones that have one."""
        named, old = self.table.individuals, np.flatnonzero(self.known >= 0)
        return {
            int(labels[row]): named[int(self.known[row])]
            for row in old
            if int(self.known[row]) in named
        }

    def without_torn_tracks(self, tracks: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Tracks int [N] less those whose images are in several known clusters.

        Known images stay where they are, whatever a track says. What was left out is
        told in a line.
        """
        there = (tracks > 0) & (self.known >= 0)
        pairs = np.unique(np.stack([tracks[there], self.known[there]], 1), axis=0)
        of, count = np.unique(pairs[:, 0], return_counts=True)
        torn = of[count > 1]
        if not len(torn):
            return tracks, []
        note = (
            f"{len(torn):,} tracks hold images of several known clusters and keep "
            "nothing together"
        )
        return np.where(np.isin(tracks, torn), 0, tracks), [note]

    def line(self, labels: np.ndarray) -> str:
        """For a person: what became of the new images."""
        new = labels[self.known < 0]
        kept = np.isin(new, labels[self.known >= 0])
        old = len(self.known) - len(new)
        return (
            f"{old:,} images of {len(self.table.called):,} known clusters stay; of "
            f"{len(new):,} new images {np.count_nonzero(kept):,} are "
            f"put into {len(np.unique(new[kept])):,} of them, "
            f"{np.count_nonzero(~kept):,} into {len(np.unique(new[~kept])):,} new ones"
        )


def beside_known(
    found: Features, clusters: str | Path, features: str | Path | None
) -> Beside:
    """Images beside those whose clusters are known.

    Args:
      found: of the new images, and perhaps of known ones among them.
      clusters: a clusters.csv of the known ones.
      features: a file of features of known ones that are not among ``found``.

    Raises:
      InputError: known images without features, none that is new, features of another
        network or width.
    """
    old = None if features is None else read_features(features)
    there = {*found.names, *(() if old is None else old.names)}
    table = read_clusters(Path(clusters), there)
    number = dict(zip(table.names, table.clusters.tolist(), strict=True))
    whole, notes = found, table.notes
    if old is not None:
        whole = _joined(old, found, number, str(features))
        notes += _on_trust(old, found, str(features))
    there = set(whole.names)
    missing = [name for name in table.names if name not in there]
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(table.names):,} images of {clusters} have no "
            f"features, such as {short(missing[0])}: give --known_features=FILE of "
            "them, or images among which they are"
        )
    known = np.array([number.get(name, -1) for name in whole.names], np.int32)
    if (known >= 0).all():
        raise InputError(
            f"all {len(known):,} images are in {clusters}: there is no new one to put"
        )
    return Beside(whole, known, table, notes)


def _on_trust(old: Features, new: Features, where: str) -> tuple[str, ...]:
    """What is told where one of two files does not say which network made it."""
    if old.identity and new.identity:
        return ()
    silent = "the new images' features do" if old.identity else f"{where} does"
    return (f"{silent} not say of which network: taken as of the same one",)


def _joined(
    old: Features, new: Features, number: dict[str, int], where: str
) -> Features:
    if old.identity and new.identity and old.identity != new.identity:
        raise InputError(
            f"{where} is of network {old.identity[:8]} and the new images' features of "
            f"{new.identity[:8]}: embed both with one"
        )
    widths = old.features.shape[1], new.features.shape[1]
    if widths[0] != widths[1]:
        raise InputError(
            f"{where} has {widths[0]} numbers an image and the new images {widths[1]}: "
            "embed both with one network"
        )
    there = set(new.names)
    rows = [
        row
        for row, name in enumerate(old.names)
        if name in number and name not in there
    ]
    labels, nobody = new.labels, np.zeros(len(rows), np.int32)
    if labels is not None:
        cameras, tracks = (
            None if of is None else np.concatenate([nobody, of])
            for of in (labels.cameras, labels.tracks)
        )
        identities = np.concatenate([nobody + UNKNOWN, labels.identities])
        labels = Labels(identities=identities, cameras=cameras, tracks=tracks)
    return dataclasses.replace(
        new,
        names=(*(old.names[row] for row in rows), *new.names),
        features=np.concatenate([old.features[rows], new.features]),
        labels=labels,
        pictures=(*(old.names[row] for row in rows), *new.pictures)
        if new.pictures
        else (),
    )
