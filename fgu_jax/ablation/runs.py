"""The runs of a table: planned, made one after another, never made twice.

Several processes may make one table: each trains what no other one is training.
"""

import dataclasses
import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fgu_jax.ablation.tables import SET_BY_TABLE, Table
from fgu_jax.config import Config, fields_of, values
from fgu_jax.config.effects import figures_key, without_effect
from fgu_jax.config.located import located
from fgu_jax.data import Dataset
from fgu_jax.errors import Begun, InputError, InUse
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.runs import lock
from fgu_jax.training import loop
from fgu_jax.training.checks import validate_before_data
from fgu_jax.training.images import read_dataset

_LOOK_SECONDS = 5.0  # between looks at what other processes train


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run of a table.

    Attributes:
      label: its setting, as the paper prints it.
      config: all of it.
    """

    label: str
    config: Config


@dataclasses.dataclass(frozen=True)
class Finished(Planned):
    """A run that came to its end.

    Attributes:
      history: one record an epoch, as in ``metrics.jsonl``.
      session: what the last process of it was made with, as in ``run.json``.
      seconds: that its epochs took, all sessions together.
    """

    history: list[dict]
    session: dict
    seconds: float


def plan(
    table: Table, base: Config, *, num_seeds: int, directory: Path
) -> list[Planned]:
    """The runs of a table, seed after seed, so that early stops leave whole rows.

    A run's folder is named by what it has another value of than ``base``, so tables
    that share a setting share its runs.

    Args:
      table: which.
      base: the whole method; its ``seed`` is the first one.
      num_seeds: how many, at least 1.
      directory: where the runs' folders are.

    Raises:
      InputError: fewer than one seed; a setting that the configuration rules out, or
        that makes no difference in it.
    """
    if num_seeds < 1:
        raise InputError(f"seeds is {num_seeds}: give 1 or more")
    found = []
    for seed in range(base.seed, base.seed + num_seeds):
        for label, changes in table.settings.items():
            differs = {k: v for k, v in changes.items() if getattr(base, k) != v}
            stem = "-".join(f"{k}={v}" for k, v in differs.items()) or "base"
            stem = stem.replace("/", "%2F")
            folder = directory / f"{stem}-seed{seed}"
            config = dataclasses.replace(
                base,
                **changes,
                seed=seed,
                workdir=str(folder),
                resume=False,
                report=False,
            )
            found.append(Planned(label, config))
    _refuse_same(table, found[: len(table.settings)])
    return found


def _refuse_same(table: Table, of_a_seed: list[Planned]) -> None:
    """Refuses a table two of whose settings would be one run under two names."""
    seen: dict[tuple, str] = {}
    for one in of_a_seed:
        other = seen.setdefault(figures_key(one.config), one.label)
        if other is not one.label:
            why = ", ".join(
                f"{name} makes no difference in it"
                if name in without_effect(one.config)
                else f"its own {name} is {getattr(one.config, name)}"
                for name in {**table.settings[other], **table.settings[one.label]}
            )
            raise InputError(
                f"{table.stem}: {other!r} and {one.label!r} would be one run of this "
                f"configuration, for {why}: change that, or take another table"
            )


def finished(planned: Planned) -> Finished | None:
    """The run, if its folder holds it whole; ``None`` if it is still to be made.

    Raises:
      InputError: the folder holds a run with other settings (which, both values).
    """
    folder = planned.config.directory
    if not (folder / "config.json").exists():
        return None
    old = located(values.load(folder / "config.json"))
    asked = located(planned.config)
    names = (f.name for f in dataclasses.fields(Config) if f.name not in SET_BY_TABLE)
    differs = [
        f"{name} {getattr(old, name)!r}, now {getattr(asked, name)!r}"
        for name in names
        if getattr(old, name) != getattr(asked, name)
    ]
    if differs:
        raise InputError(
            f"{folder} holds a run with {'; '.join(differs)}: give the old values, or "
            "choose another --output"
        )
    history = _lines(folder / "metrics.jsonl")
    if not history or history[-1]["epoch"] < planned.config.epochs:
        return None
    if not (folder / "clusters.csv").exists():  # it died in its last minute
        return None
    sessions = json.loads((folder / "run.json").read_text(encoding="utf-8"))["sessions"]
    spent = (
        sum(v for k, v in line.items() if k.endswith("_seconds"))
        for line in _lines(folder / "timings.jsonl")
    )
    return Finished(planned.label, planned.config, history, sessions[-1], sum(spent))


def make(
    planned: list[Planned],
    on_epoch: Callable[[int, Planned, dict], None],
    on_wait: Callable[[list[Planned]], None],
) -> Iterator[tuple[int, Finished]]:
    """Every run in its turn: read where it is finished, gone on with, or begun.

    A run that another process trains is left to it, and looked at again at the end.

    Args:
      planned: the runs.
      on_epoch: called with a run's place, the run, and each epoch's record.
      on_wait: called once with the runs of other processes that are waited for.

    Yields:
      The place of a run, and the run, as they come to an end.

    Raises:
      InputError: as ``finished``, for any of them, before the first is begun; and what
        ``fgu_jax.fit`` refuses.
      Stopped: a signal came; the run that it came to was saved.
    """
    for one in planned:
        if finished(one) is None:
            validate_before_data(one.config, make_mesh(one.config.devices))
    data = _DatasetOfSeed()
    left = dict(enumerate(planned))
    waits = False
    while left:
        before = len(left)
        for place, one in list(left.items()):
            try:
                done = finished(one) or _train(
                    one, functools.partial(on_epoch, place, one), data
                )
            except InUse:
                continue
            del left[place]
            yield place, done
        if len(left) == before:
            if not waits:
                on_wait(list(left.values()))
                waits = True
            time.sleep(_LOOK_SECONDS)


def _train(
    one: Planned, on_epoch: Callable[[dict], None], data: "_DatasetOfSeed"
) -> Finished:
    lock.check_free(one.config.directory)
    dataset = data.of(one.config)
    if dataset.query is None:
        raise InputError(
            f"{one.config.dataset} names no identities to evaluate on, so settings "
            "cannot be compared: for a folder, give --pattern"
        )
    # Reading may take long: another process may have begun the run since, or ended it.
    done = finished(one)
    if done is not None:
        return done
    begun = (one.config.directory / "config.json").exists()
    config = dataclasses.replace(one.config, resume=begun)
    try:
        loop.fit(config, dataset, quiet=True, on_epoch=on_epoch)
    except Begun:  # since that look
        return _train(one, on_epoch, data)
    done = finished(one)
    if done is None:
        raise InputError(
            f"{one.config.directory} was trained and is not whole: look at its "
            "metrics.jsonl"
        )
    return done


class _DatasetOfSeed:
    """The dataset of a configuration, read again only where another is needed."""

    def __init__(self) -> None:
        self._read: tuple[tuple, Dataset] | None = None

    def of(self, config: Config) -> Dataset:
        # The seed draws the pictures of `synthetic`, and which identities are trained.
        key = tuple(getattr(config, name) for name in fields_of("data"))
        if self._read is None or self._read[0] != key:
            self._read = (key, read_dataset(config, None))
        return self._read[1]


def _lines(path: Path) -> list[dict]:
    if not path.exists():
        return []
    whole = re.findall(r"^.*\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [json.loads(line) for line in whole]
