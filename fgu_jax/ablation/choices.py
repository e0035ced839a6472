"""One change at a time: the choices that the paper leaves open, or a user's own."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from fgu_jax.ablation.tables import SET_BY_TABLE, Table
from fgu_jax.config import FIELDS, Config, fields_of
from fgu_jax.config.effects import figures_key
from fgu_jax.config.values import parse_value
from fgu_jax.errors import InputError
from fgu_jax.messages import unknown

BASE = "as it is"

# What all runs of a table share, or figures could not be compared.
_SHARED = fields_of("data", "shared")
_NOTE = (
    "Every row changes what its name says and nothing else. The differences are to the "
    f"row “{BASE}” of the same seed."
)


def choices(base: Config) -> Table:
    """The choices that decide what is learnt, each against the configuration's own.

    Those that the configuration has made already, that it rules out, or that make no
    difference in it are left out.

    Args:
      base: whose values are changed, one at a time.

    >>> found = choices(Config(centres="memory")).settings
    >>> "centres=merge" in found, "centres=memory" in found
    (True, False)
    >>> found["batch_size=16"]
    {'batch_size': 16}
    """
    rate, heads = base.learning_rate, base.head_learning_rate or base.learning_rate

    def times(value: float, factor: float) -> float:
        return float(f"{value * factor:.6g}")  # 0.009, not 0.009000000000000001

    changes: list[dict[str, Any]] = [
        *_each("memory_start", ("features", "zeros")),
        *_each("memory_at_merge", ("features", "memory")),
        *_each("centres", ("merge", "epoch", "memory")),
        *_each("attract_start", ("merge", "always")),
        *_each("attract_weight", (0.0,)),
        *_each("patch_weight", (0.0,)),
        *_each("neck", (False, True)),
        *_each("keep_statistics", (False, True)),
        *_each("learning_rate", (times(rate, 1 / 3), times(rate, 3))),
        *_each("head_learning_rate", (times(heads, 0.1), times(heads, 10))),
        *_each("color_jitter", (0.0, 0.3, 0.6)),
        *_each("erasing", (0.0, 0.5)),
        *_each("batch_size", (max(base.batch_size // 2, 1), 2 * base.batch_size)),
        *_each(
            "num_neighbors", (max(base.num_neighbors // 3, 1), 2 * base.num_neighbors)
        ),
        *_each("size_penalty", (0.0, 0.003, 0.01)),
        *_each("merge_fraction", (0.0, times(base.merge_fraction, 0.5))),
        {
            "image_height": 2 * base.image_height,
            "image_width": 2 * base.image_width,
        },
    ]
    kept = [change for change in changes if _makes_a_difference(base, change)]
    return _table("choices", "One choice changed at a time", base, kept)


def tried(base: Config, settings: Iterable[str]) -> Table:
    """A user's own settings, each against the configuration's own.

    Args:
      base: whose values are changed.
      settings: of each one ``FIELD=VALUE``, or several with spaces between.

    Raises:
      InputError: text of another form; an unknown field, or one that is not varied so;
        a value that is not the field's; a setting that changes nothing; one twice.

    >>> tried(Config(), ["neck=true", "epochs=9 lr_drop_epoch=7"]).settings["neck=True"]
    {'neck': True}
    """
    changes: list[dict[str, Any]] = []
    for text in settings:
        change = _parse(text)
        if not _differing(base, change):
            raise InputError(
                f"--try={text}: the configuration has these values already"
            )
        if _differing(base, change) in (_differing(base, one) for one in changes):
            raise InputError(f"--try={text} is given twice: leave one out")
        changes.append(change)
    return _table("tried", "Settings tried, one at a time", base, changes)


def _makes_a_difference(base: Config, change: Mapping[str, Any]) -> bool:
    try:
        changed = dataclasses.replace(base, **change)
    except InputError:  # what is changed goes with something else alone
        return False
    return figures_key(changed) != figures_key(base)


def _each(field: str, values: Iterable[Any]) -> list[dict[str, Any]]:
    return [{field: value} for value in values]


def _differing(base: Config, change: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in change.items() if getattr(base, k) != v}


def _table(stem: str, title: str, base: Config, changes: list[dict]) -> Table:
    settings: dict[str, dict[str, Any]] = {BASE: {}}
    for change in changes:
        differs = _differing(base, change)
        settings[" ".join(f"{k}={v}" for k, v in differs.items())] = differs
    return Table(
        stem=stem,
        title=title,
        head="setting",
        settings=settings,
        full=BASE,
        published={},
        note=_NOTE,
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        pairs = [part.partition("=") for part in shlex.split(text)]
    except ValueError as error:
        raise InputError(f"--try={text}: {error}") from None
    if not pairs or any(not equals or not name for name, equals, _ in pairs):
        raise InputError(
            f"--try={text}: give FIELD=VALUE, or several of them with spaces between"
        )
    found = {}
    for name, _, value in pairs:
        name = name.removeprefix("--")
        if name not in FIELDS:
            raise InputError(f"--try={text}: {unknown('field', name, FIELDS)}")
        if name in SET_BY_TABLE:
            raise InputError(f"--try={text}: {name} is set by the table for each run")
        if name in _SHARED:
            raise InputError(
                f"--try={text}: {name} is the same for all runs of a table, give "
                f"--{name} itself"
            )
        found[name] = parse_value(name, value)
    return found
