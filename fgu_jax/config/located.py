"""Where a configuration's data lies, whatever folder a command is called from."""

import dataclasses
import os
from pathlib import Path
from typing import TypedDict

from fgu_jax.config.fields import Config

TABLES = (".csv", ".tsv")


def is_table(pattern: str) -> bool:
    """Whether a pattern names a table of labels.

    >>> is_table("labels.CSV"), is_table("{identity}_*.jpg")
    (True, False)
    """
    return pattern.lower().endswith(TABLES)


def data_dirs(data_dir: str) -> tuple[str, ...]:
    """The folders that ``data_dir`` names: one, or several with ``:`` between them.

    What is there under the whole name is one folder, whatever is in its name.
    """
    if os.path.exists(data_dir) or os.pathsep not in data_dir:
        return (data_dir,)
    return tuple(part for part in data_dir.split(os.pathsep) if part)


def find_table(pattern: str, data_dir: str) -> Path:
    """A table's path: from the current folder, else in (the first) ``data_dir``."""
    path = Path(pattern)
    if path.is_absolute() or path.exists():
        return path
    inside = Path(data_dirs(data_dir)[0]) / path
    return inside if inside.exists() else path


class ReadAs(TypedDict):
    """Where labels come from, as ``load_dataset`` and ``read_features`` take it."""

    pattern: str | None
    table: Path | None


def read_as(pattern: str | None, data_dir: str | None) -> ReadAs:
    """What a pattern of the command line is: a pattern of names, a table, or neither.

    >>> read_as("{identity}_*.jpg", "photos")
    {'pattern': '{identity}_*.jpg', 'table': None}
    """
    if pattern is None or not is_table(pattern):
        return {"pattern": pattern, "table": None}
    return {"pattern": None, "table": find_table(pattern, data_dir or ".")}


def located(config: Config) -> Config:
    """The configuration with absolute paths, as it is kept in a run's folder."""
    pattern = config.pattern
    if pattern is not None and is_table(pattern):
        pattern = str(find_table(pattern, config.data_dir).absolute())
    folders = map(os.path.abspath, data_dirs(config.data_dir))
    data_dir = os.pathsep.join(folders)
    links = None if config.links is None else os.path.abspath(config.links)
    return dataclasses.replace(config, data_dir=data_dir, pattern=pattern, links=links)
