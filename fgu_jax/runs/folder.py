"""The run's folder: what may be begun in it, what is gone on with, and by whom.

A run exists from its first whole checkpoint on. Until then its folder holds nothing
that another start could lose, so a run that was refused or died before may simply be
started again, with another configuration too.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from fgu_jax import files
from fgu_jax.config import Config, differing, fields_of, presets, values
from fgu_jax.config.located import located
from fgu_jax.config.methods import HANDCRAFTED
from fgu_jax.errors import Begun, InputError
from fgu_jax.messages import printable
from fgu_jax.runs import labels, lock, record
from fgu_jax.runs.checkpoints import FOLDER as CHECKPOINTS

METRICS = "metrics.jsonl"
_CONFIG = "config.json"
_REWRITTEN = (_CONFIG, record.NAME, labels.NAME, METRICS, "timings.jsonl")
# What a run may have written before its configuration, and before its first whole
# checkpoint.
_BEFORE_CONFIG = {lock.NAME, CHECKPOINTS, _CONFIG + files.SCRATCH}
_EARLY = {CHECKPOINTS, lock.NAME, "tensorboard", *_REWRITTEN}
_EARLY |= {name + files.SCRATCH for name in _REWRITTEN}


def check(config: Config) -> None:
    """Refuses a folder that cannot be begun or taken up again; writes nothing.

    Raises:
      Begun: it holds a run and ``resume`` is off.
      InputError: another process trains there; it is resumed with a configuration that
        would change what the run does (which fields, both values); it holds something
        else.
    """
    directory = config.directory
    try:
        str(directory.absolute()).encode()  # Orbax takes no other
    except UnicodeEncodeError:
        raise InputError(
            f"workdir {printable(str(directory))} is not UTF-8: choose another name, "
            "or set PYTHONUTF8=1 where Python takes the terminal for ASCII"
        ) from None
    _check_content(config)
    lock.check_free(directory)


@contextlib.contextmanager
def held(config: Config, say: Callable[[str], object]) -> Iterator[Path]:
    """The folder, made where it is not there, and locked until the block ends.

    Args:
      config: the run's.
      say: told, in one line each, what a user should know.

    Raises:
      Begun, InputError: as ``check``, which is asked again under the lock.
      NotWritten: the folder cannot be written.
    """
    directory = config.directory
    with files.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with lock.hold(directory, say):
        _check_content(config)
        if config.resume and not _begun(directory, config):
            say(f"{directory} holds no checkpoint yet: starting from the beginning")
        yield directory


def own_configuration(given: Mapping[str, Any]) -> Config | None:
    """What ``--resume --workdir=RUN`` goes on with: the run's own ``config.json``.

    Fields that are given beside stand in place of the run's; ``check`` refuses those
    that a resume may not change. Another preset is asked for in whole, on the run's own
    data and by its method.

    Args:
      given: the fields of the command line, as text.

    Returns:
      ``None`` where no run is gone on with.

    Raises:
      InputError: a value that a field cannot have.
    """
    changes = {name: values.parse_value(name, given[name]) for name in given}
    if not changes.get("resume") or changes.get("workdir") is None:
        return None
    path = Path(changes["workdir"]) / _CONFIG
    if not path.is_file():
        return None
    own = values.load(path)
    if changes.get("preset", own.preset) != own.preset:
        kept = {name: getattr(own, name) for name in (*fields_of("data"), "method")}
        return presets.resolve(kept | changes)
    return dataclasses.replace(own, **changes)


def write_config(config: Config) -> None:
    """Writes ``config.json``, its paths absolute: from here on the folder is a run's.

    Raises:
      NotWritten: the folder cannot be written.
    """
    files.replace(config.directory / _CONFIG, located(config).to_json())


def latest_checkpoint(directory: Path) -> int | None:
    """Step of the newest whole checkpoint of a run's folder, or ``None``."""
    if not (directory / CHECKPOINTS).is_dir():
        return None
    # No manager: of several processes it would wait for the others, who do not ask.
    names = ocp.path.step.standard_name_format()
    return max(
        (found.step for found in names.find_all(directory / CHECKPOINTS)), default=None
    )


def measured(directory: Path, config: Config) -> bool:
    """Whether the folder holds the figures of a method that trains nothing."""
    if config.method not in HANDCRAFTED or not (directory / METRICS).is_file():
        return False
    return (directory / METRICS).read_bytes().endswith(b"\n")


def _begun(directory: Path, config: Config) -> bool:
    return latest_checkpoint(directory) is not None or measured(directory, config)


def _check_content(config: Config) -> None:
    directory = config.directory
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file: choose another --workdir")
    names = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    path = directory / _CONFIG
    if _CONFIG not in names:
        claimed = lock.NAME in names  # and its process died at once
        if config.resume and not claimed:
            raise InputError(f"{directory} holds no run to resume: leave --resume out")
        _check_only(directory, names, _BEFORE_CONFIG if claimed else set())
        return
    old = values.load(path)
    begun = _begun(directory, old)
    if not config.resume:
        if begun:
            raise Begun(
                f"{directory} holds a run already: add --resume to go on with it, or "
                "choose another --workdir"
            )
        _check_only(directory, names, _EARLY)
        return
    if not begun and "clusters.csv" in names:
        raise InputError(
            f"{directory} holds a finished run without its checkpoints: choose "
            "another --workdir"
        )
    old, config = located(old), located(config)
    fields = differing(old, config)
    if fields:
        changes = ", ".join(
            f"{name} {getattr(old, name)!r} -> {getattr(config, name)!r}"
            for name in fields
        )
        mend = (
            "give the old values"
            if begun
            else "give the old values, or leave --resume out"
        )
        raise InputError(f"{directory} cannot be resumed with {changes}: {mend}")
    done = _epochs_done(directory)
    if begun and config.epochs < done:
        raise InputError(
            f"epochs is {config.epochs}, and {directory} has done {done}: give {done} "
            "or more"
        )


def _epochs_done(directory: Path) -> int:
    """The last whole line's epoch of a run's figures; 0 where there is none."""
    path = directory / METRICS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return json.loads(lines[-1])["epoch"] if lines else 0


def _check_only(directory: Path, names: set[str], allowed: set[str]) -> None:
    others = sorted(names - allowed)
    if others:
        raise InputError(
            f"{directory} is not empty and not a run that can be started again: it "
            f"holds {others[0]!r}; choose another --workdir"
        )
