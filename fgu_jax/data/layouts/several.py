"""Several folders as one dataset: an identity of one is nobody of another."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fgu_jax.data.images import FolderSource
from fgu_jax.data.layouts.tree import Entry, Layout
from fgu_jax.data.reading import Reading


@dataclass(frozen=True)
class SeveralSource:
    """Files below several folders; a key begins with the folder's label and a ``/``."""

    roots: Mapping[str, Path]

    def read(self, key: str | int) -> bytes:
        label, _, name = str(key).partition("/")
        return FolderSource(self.roots[label]).read(name)


def label_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """A name for each folder: its own, with a number where it comes again.

    >>> list(label_folders([Path("a/crops"), Path("b/crops")]))
    ['crops', 'crops-2']
    """
    labels: dict[str, Path] = {}
    for folder in folders:
        name = folder.absolute().name or "root"
        label, number = name, 1
        while label in labels:
            number += 1
            label = f"{name}-{number}"
        labels[label] = folder
    return labels


def join_layouts(layouts: Mapping[str, Layout]) -> Layout:
    """One layout of several, each under its label.

    Names and keys get the label before them; identities above 0 and cameras are
    numbered on from folder to folder, so that none is shared.
    """
    splits: dict[str, list[Entry]] = {"train": [], "query": [], "gallery": []}
    names: list[str] = []
    columns: dict[str, Mapping[str, str]] = {}
    found: dict[str, int] = {}
    readings: dict[str, Reading] = {}
    camera_names: dict[int, str] = {}
    cameras = tracks = 0
    labelled = any(layout.identity_names for layout in layouts.values())
    for label, layout in layouts.items():
        entries = [e for split in layout.splits.values() for e in split]
        for split, of_split in layout.splits.items():
            for entry in of_split:
                identity = entry.identity
                if identity is None and labelled:
                    identity = -1
                elif identity is not None and identity > 0:
                    identity += len(names)
                camera, track = entry.camera, entry.track
                splits[split].append(
                    dataclasses.replace(
                        entry,
                        name=f"{label}/{entry.name}",
                        key=f"{label}/{entry.key}",
                        identity=identity,
                        camera=None if camera is None else camera + cameras,
                        track=None if track is None else track + tracks,
                    )
                )
        names += [f"{label}/{name}" for name in layout.identity_names or ()]
        for number in {e.camera for e in entries if e.camera}:
            called = layout.camera_names.get(number, str(number))
            camera_names[number + cameras] = f"{label}/{called}"
        cameras += max((e.camera or 0 for e in entries), default=0) + 1
        tracks += max((e.track or 0 for e in entries), default=0)
        columns |= {f"{label}/{name}": row for name, row in layout.columns.items()}
        for what, number in layout.found.items():
            found[what] = found.get(what, 0) + number
        if layout.reading is not None:
            readings[label] = layout.reading
    return Layout(
        splits=splits,
        found=found,
        identity_names=tuple(names) or None,
        camera_names=camera_names,
        reading=_join_readings(readings),
        columns=columns,
    )


def _join_readings(readings: Mapping[str, Reading]) -> Reading:
    return Reading(
        where=" and ".join(reading.where for reading in readings.values()),
        taken=sum(reading.taken for reading in readings.values()),
        left_out={
            f"{label}/{name}": why
            for label, reading in readings.items()
            for name, why in reading.left_out.items()
        },
        notes=tuple(
            f"{label}: {note}"
            for label, reading in readings.items()
            for note in reading.notes
        ),
        examples=tuple(
            f"{told}, of {label}"
            for label, reading in readings.items()
            for told in reading.examples
        ),
    )
