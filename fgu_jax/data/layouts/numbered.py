"""Labels of any kind as numbers, and images as the entries of their splits."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.found import (
    Found,
    doubtful,
    doubtful_cameras,
    published_number,
)
from fgu_jax.data.layouts.splits import SPLITS
from fgu_jax.data.layouts.tree import Entry, Layout
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN

_INT32 = 2**31


class Named(Protocol):
    """What messages call the place that images are in."""

    @property
    def where(self) -> str: ...


def numbered(
    tree: Named, rows: list[Found], notes: list[str], *, ranked: bool = True
) -> Layout:
    """The layout of the rows; where they are not ``ranked``, splits are of any kind."""
    splits: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    columns: dict[str, Mapping[str, str]] = {}
    boxes = Counter(row.key for row in rows)
    nobody = {row.key: published_number(row) for row in rows}
    identities = in_order(row.identity for row in rows if nobody[row.key] is None)
    labelled = any(row.identity is not None for row in rows)
    with_cameras = any(row.camera is not None for row in rows)
    cameras = _camera_numbers(row.camera for row in rows)
    distinct = dict.fromkeys(row.track for row in sorted(rows, key=lambda r: r.key))
    tracks = {track: i for i, track in enumerate(filter(None, distinct), 1)}
    for row in rows:
        identity, camera = nobody[row.key], None
        if identity is None and labelled:
            identity = UNKNOWN if row.identity is None else identities[row.identity]
        if with_cameras:  # the camera of nobody is never asked for
            camera = 0 if row.camera is None else cameras[row.camera]
        name = normal_name(row.key)
        if boxes[row.key] > 1 and row.box is not None:
            name += "#" + ",".join(f"{side:g}" for side in row.box)
        track = None if row.track is None else tracks[row.track]
        splits[row.split].append(Entry(name, row.key, identity, camera, row.box, track))
        if row.cells:
            columns[name] = row.cells
    notes += doubtful(identities, rows, nobody) + doubtful_cameras(cameras)
    names: dict[str, str] = {}
    for entry in (entry for entries in splits.values() for entry in entries):
        if entry.name in names:
            raise InputError(
                f"{tree.where}: {names[entry.name]!r} and {entry.key!r} are one name "
                "in Unicode's normal form: rename one"
            )
        names[entry.name] = str(entry.key)
    if ranked and splits["query"] and not splits["gallery"]:
        raise InputError(f"{tree.where}: no images in the gallery split: give both")
    if ranked and splits["gallery"] and not splits["query"]:
        notes.append(
            "there is no query split: the first image of each identity and camera of "
            "the gallery is a query"
        )
    if not splits["train"] and not splits["gallery"]:
        raise InputError(f"{tree.where}: no images in the train split")
    junk = sum(
        entry.identity == UNKNOWN for split in splits.values() for entry in split
    )
    return Layout(
        splits=splits,
        found={"junk images": junk} if junk else {},
        identity_names=tuple(identities) if identities else None,
        camera_names={n: name for name, n in cameras.items() if name != str(n)},
        columns=columns,
    )


def in_order(values: Iterable[str | None]) -> dict[str, int]:
    distinct = sorted({value for value in values if value is not None})
    return {value: i for i, value in enumerate(distinct, 1)}


def is_digits(value: str) -> bool:
    return re.fullmatch(r"[0-9]{1,10}", value) is not None and int(value) < _INT32


def _camera_numbers(values: Iterable[str | None]) -> dict[str, int]:
    distinct = {value for value in values if value is not None}
    if all(map(is_digits, distinct)):
        return {value: int(value) for value in distinct}
    return in_order(distinct)
