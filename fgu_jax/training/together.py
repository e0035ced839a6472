"""Who is known to be with whom: tracks, boxes of one picture, a person's answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fgu_jax.clustering.tracks import seen_together
from fgu_jax.config import Config
from fgu_jax.data import Dataset, Labels
from fgu_jax.errors import InputError
from fgu_jax.messages import counted, short
from fgu_jax.runs.answers import NONE, Answers, read_answers


def _no_pairs() -> np.ndarray:
    return np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Together:
    """What clusters of images have to honour, by row.

    Attributes:
      answers: a person's.
      tracks: int32 [N], equal numbers from 1 for images of one track, 0 for none.
      apart: int64 [P, 2], pairs that were seen in one picture.
      notes: what was known and is not honoured, a line each.
    """

    answers: Answers = NONE
    tracks: np.ndarray | None = None
    apart: np.ndarray = field(default_factory=_no_pairs)
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        links = len(self.must_link) + len(self.cannot_link)
        return self.tracks is not None or links > 0

    @property
    def must_link(self) -> np.ndarray:
        """Int64 [P, 2]: pairs of one individual."""
        return self.answers.must_link

    @property
    def cannot_link(self) -> np.ndarray:
        """Int64 [P, 2]: pairs of two individuals."""
        return np.concatenate([self.answers.cannot_link, self.apart])

    def lines(self) -> list[str]:
        """For a person: what is honoured, a line each."""
        said = list(self.notes)
        if self.tracks is not None:
            of = self.tracks[self.tracks > 0]
            said.append(
                f"{len(of):,} images are of {len(np.unique(of)):,} tracks, each kept "
                "together and clustered by its mean"
            )
        if len(self.apart):
            said.append(
                f"{len(self.apart):,} pairs were seen in one picture and are kept apart"
            )
        if len(self.answers):
            said.append(f"honoured: {counted(len(self.answers), 'answer')} of a person")
        return said


NOTHING = Together()


def with_tracks(
    answers: Answers,
    labels: Labels | None,
    names: Sequence[str],
    pictures: Sequence[str | int],
) -> Together:
    """Answers, and all that is known of tracks and of boxes of one picture.

    A track with two boxes of one picture, such as an encounter of two animals, is not
    of one individual: it keeps nothing together, and that is told.

    Args:
      answers: a person's.
      labels: of the images, where there are some.
      names: [N], of the images.
      pictures: [N], the files that images are, or were cut from; () where each is one.

    Raises:
      InputError: an answer that keeps two images of one track apart.
    """
    apart = seen_together(pictures) if len(pictures) else _no_pairs()
    if labels is None or labels.tracks is None:
        return Together(answers, None, apart)
    tracks, notes = labels.tracks, list[str]()
    of = tracks[apart]
    several = np.unique(of[(of[:, 0] == of[:, 1]) & (of[:, 0] > 0)])
    if len(several):
        tracks = np.where(np.isin(tracks, several), 0, tracks)
        notes.append(
            f"{len(several):,} tracks hold two boxes of one picture, and so several "
            "individuals: they keep nothing together"
        )
    of = tracks[answers.cannot_link]
    wrong = answers.cannot_link[(of[:, 0] == of[:, 1]) & (of[:, 0] > 0)]
    if len(wrong):
        i, j = wrong[0]
        raise InputError(
            f"the answers keep {short(names[i])} and {short(names[j])} apart, which "
            "are of one track: take the answer back, or leave tracks out "
            "(--ignore_tracks, --use_tracks=false)"
        )
    if len(pictures):  # two tracks of one picture: one pair says so
        apart = seen_together(pictures, tracks)
    return Together(answers, tracks, apart, tuple(notes))


def known_together(
    config: Config, names: tuple[str, ...], dataset: Dataset | None
) -> Together:
    """What ``links`` and ``use_tracks`` of the configuration ask for.

    Raises:
      InputError: tracks that are not known, answers that cannot be read.
    """
    answers = read_answers(config.links, names)
    if not config.use_tracks:
        return Together(answers)
    found = Together(answers)
    if dataset is not None:
        found = with_tracks(answers, dataset.train_labels, names, dataset.train.keys)
    if found.tracks is None and not len(found.apart):
        raise InputError(
            f"use_tracks, but no track of {config.dataset} is known: leave it out, or "
            "give a --pattern with {track}, or a table with a column track"
        )
    return found
