"""Values of the configuration from text and JSON; a wrong one is refused in one line.

The command line and a run's ``config.json`` are read by the same rules. Nothing in
either is evaluated.
"""

import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fgu_jax._version import __version__
from fgu_jax.config import FIELDS, TYPES, Config
from fgu_jax.errors import InputError
from fgu_jax.messages import short, unknown


def from_mapping(values: Mapping[str, Any], *, source: str) -> Config:
    """A configuration from names and values, as they stand in a ``config.json``.

    Args:
      values: field names to values; text is read as on the command line.
      source: where they come from, for the error.

    Raises:
      InputError: an unknown field (with the near miss), a value of another type.
    """
    known = {}
    for name, value in values.items():
        if name not in FIELDS:
            none = f"fgu_jax {__version__} has none like it"
            none += "; give the version that wrote it"
            what = unknown("field", name, FIELDS, otherwise=none)
            raise InputError(f"{source}: {what}")
        known[name] = parse_value(name, value)
    return Config(**known)


def load(path: Path) -> Config:
    """Reads a run's ``config.json``; it is data only and nothing in it is evaluated."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing: is {path.parent} a run's folder?"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, not an object")
    return from_mapping(values, source=str(path))


def parse_value(name: str, value: Any) -> Any:
    """A field's value from JSON or from the command line's text."""
    hint = TYPES[name]
    optional = isinstance(hint, types.UnionType)
    if optional and (value is None or value == "none"):
        return None
    kind = (
        next(t for t in typing.get_args(hint) if t is not types.NoneType)
        if optional
        else hint
    )
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise InputError(f"{name} is {value!r}: choose {' or '.join(choices)}")
        return value
    try:
        return _PARSERS[kind](value)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise InputError(
            f"{name} is {short(value)}: give {_NOUNS[kind]}"
            + (" or none" if optional else "")
        ) from None


def _parse_int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise ValueError
    return int(value)


def _parse_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def parse_bool(value: Any) -> bool:
    """True or false as commands and files spell it; ``KeyError`` for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]


def _parse_str(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


_PARSERS = {
    int: _parse_int,
    float: _parse_float,
    bool: parse_bool,
    str: _parse_str,
}
_NOUNS = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
}
