"""``labels.json``: whose labels a network was trained with, before or in this run.

A run that learns without labels may start from a network that had them. Its folder
then says so, and a run that starts from that run says so too; every table of results
asks ``used`` and no other place. A run without such a start has no such file.
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fgu_jax import files
from fgu_jax.config import Config, values
from fgu_jax.config.located import located
from fgu_jax.config.methods import SUPERVISED
from fgu_jax.errors import InputError
from fgu_jax.runs.checkpoints import FOLDER as CHECKPOINTS

NAME = "labels.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelsUsed:
    """Labels that a network was trained with.

    Attributes:
      dataset: its name.
      people: what its numbers of identities are numbers of: those of another dataset,
        or of another drawing of one, are other people's.
      identities: the numbers, of its training split.
      images: how many images of them.
    """

    dataset: str
    people: str
    identities: tuple[int, ...]
    images: int

    @property
    def told(self) -> str:
        """For a table, in a few words."""
        return (
            f"{self.dataset}: {len(self.identities):,} identities, "
            f"{self.images:,} images"
        )


def of_training(config: Config, identities: np.ndarray) -> LabelsUsed:
    """What a run with labels uses.

    Args:
      config: the run's.
      identities: int [N], of its training images.
    """
    return LabelsUsed(
        dataset=config.dataset,
        people=_people(config),
        identities=tuple(np.unique(identities).tolist()),
        images=len(identities),
    )


def used(folder: str | Path) -> tuple[LabelsUsed, ...]:
    """The labels that the network of a run or of an export was trained with.

    Args:
      folder: a run's, one of its checkpoints, an exported one, or anything else that
        ``--init`` takes; ``random`` and files of weights say nothing.

    Raises:
      InputError: the file is damaged, or a run with labels has lost it.
    """
    folder = Path(folder).expanduser()
    if folder.parent.name == CHECKPOINTS and folder.name.isdecimal():
        folder = folder.parent.parent
    path = folder / NAME
    if path.is_file():
        return _read(path)
    config = folder / "config.json"
    if config.is_file() and values.load(config).method == SUPERVISED:
        raise InputError(
            f"{folder} was trained with labels and has no {NAME}: copy it from the "
            "folder that this one was copied from"
        )
    return ()


def of_run(config: Config, own: LabelsUsed | None = None) -> tuple[LabelsUsed, ...]:
    """The labels of a run that begins or goes on: its start's, then its own, if any.

    Args:
      config: the run's.
      own: what it is trained with itself.

    Raises:
      InputError: as ``used``.
    """
    if config.resume and (config.directory / NAME).is_file():
        return used(config.directory)
    start = () if config.init in ("random", "imagenet") else used(config.init)
    return start if own is None else (*start, own)


def write(folder: Path, labels: tuple[LabelsUsed, ...]) -> None:
    """Keeps them in a folder; of none there is no file.

    Raises:
      NotWritten: the folder cannot be written.
    """
    if not labels:
        with files.writing(folder / NAME):
            (folder / NAME).unlink(missing_ok=True)
        return
    said = [dataclasses.asdict(each) for each in labels]
    files.replace(folder / NAME, json.dumps({"labels": said}) + "\n")


def told(config: Config, labels: tuple[LabelsUsed, ...]) -> str:
    """For tables, in a clause; empty where no labels were used.

    >>> used = LabelsUsed(dataset="duke", people="duke", identities=(1, 2), images=9)
    >>> told(Config(), (used,))
    'started from labels of duke: 2 identities, 9 images'
    >>> told(Config(), ())
    ''
    """
    if not labels:
        return ""
    how = "trained with" if config.method == SUPERVISED else "started from"
    whose = "; and of ".join(dict.fromkeys(each.told for each in labels))
    return f"{how} labels of {whose}"


def shared(
    config: Config, labels: tuple[LabelsUsed, ...], identities: Iterable[int]
) -> int:
    """How many of a run's identities had labels that its start was trained with.

    They are known by their numbers, within one dataset: that two datasets show the
    same person is not seen.

    Args:
      config: the run's.
      labels: of its start.
      identities: of its training split, as ``LabelsUsed.identities`` are.
    """
    here = _people(config)
    known = [set(each.identities) for each in labels if each.people == here]
    return len(set().union(*known) & {int(i) for i in identities if i > 0})


def check(
    config: Config,
    labels: tuple[LabelsUsed, ...],
    *,
    train: np.ndarray | None,
    test: np.ndarray | None,
) -> str | None:
    """A warning, in one line, where a run trains on people whose labels were used.

    Args:
      config: the run's.
      labels: of its start.
      train: int [N], identities of the training images; ``None``: not known.
      test: int [Q], of the queries; only held-out ones are looked at.

    Raises:
      InputError: it would be evaluated on such people.
    """
    if config.holdout_identities is not None and test is not None:
        count = shared(config, labels, np.unique(test))
        if count:
            raise InputError(
                f"{count} of {config.holdout_identities} held-out identities are among "
                f"those whose labels the start was trained with ({labels[-1].told}): "
                f"pretrain with --holdout_identities={config.holdout_identities} too"
            )
    count = 0 if train is None else shared(config, labels, np.unique(train))
    if not count or config.method == SUPERVISED:
        return None
    return (
        f"{count} identities of the training images had labels at the start: this run "
        "is not one without labels; give the halves of --identities to both"
    )


def _people(config: Config) -> str:
    if config.dataset == "synthetic":
        return f"synthetic, seed {config.seed}, difficulty {config.difficulty}"
    if config.dataset == "folder":
        config = located(config)
        return f"folder {config.data_dir}, pattern {config.pattern}"
    return config.dataset


def _read(path: Path) -> tuple[LabelsUsed, ...]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["labels"]
        return tuple(
            LabelsUsed(
                dataset=str(each["dataset"]),
                people=str(each["people"]),
                identities=tuple(int(i) for i in each["identities"]),
                images=int(each["images"]),
            )
            for each in found
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}): copy it again, or the "
            "figures cannot say whose labels they had"
        ) from None
