"""Reads what ``data_prep/prepare.py`` wrote, as if it were the folder it came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fgu_jax.data.layouts.tree import Entry, Layout
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError

VERSION = "1.0.0"


@dataclass(frozen=True)
class RecordSource:
    """Images in the records of a TFDS folder; a key is ``"SPLIT/RECORD"``.

    ``counts`` says how many records a split has. Labels lie beside the images in the
    records, and are not read here.
    """

    root: Path
    counts: Mapping[str, int]

    @cached_property
    def _records(self) -> dict:
        import tensorflow_datasets as tfds

        decoders = {"image": tfds.decode.SkipDecoding()}
        try:
            builder = tfds.builder_from_directory(str(self.root))
            opened = {
                split: builder.as_data_source(split, decoders=decoders)
                for split in self.counts
            }
            found = {split: len(records) for split, records in opened.items()}
        except Exception as error:
            raise _damaged(self.root, str(error)) from error
        if found != self.counts:
            raise _damaged(self.root, f"records {found} for names {self.counts}")
        return opened

    def read(self, key: str | int) -> bytes:
        split, _, record = str(key).partition("/")
        records = self._records[split]
        try:
            return records[int(record)]["image"]
        except Exception as error:
            raise _damaged(self.root, str(error)) from error


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset: its folder, its layout, and what else was noted."""

    root: Path
    layout: Layout
    metadata: Mapping

    @property
    def source(self) -> RecordSource:
        """Where the images are."""
        counts = {s: len(e) for s, e in self.layout.splits.items() if e}
        return RecordSource(self.root, counts)


def find_prepared(name: str, data_dir: Path) -> Prepared | None:
    """The prepared dataset of this name in ``data_dir``, or in it itself, or None.

    Raises:
      InputError: it is there and cannot be read.
    """
    for root in (data_dir / name / VERSION, data_dir / VERSION, data_dir):
        info = root / "dataset_info.json"
        if not info.is_file():
            continue
        try:
            if json.loads(info.read_bytes())["name"] != name:
                continue
            metadata = json.loads((root / "metadata.json").read_bytes())
            return Prepared(root, _layout(metadata, str(root)), metadata)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(root, f"{type(error).__name__}: {error}") from error
    return None


def _layout(metadata: Mapping, where: str) -> Layout:
    """Entries of all splits, junk included, as the source's own layout had them."""
    splits: dict[str, list[Entry]] = {"train": [], "query": [], "gallery": []}
    for split, entries in splits.items():
        rows = metadata["splits"][split]
        tracks = rows.get("tracks") or [None] * len(rows["names"])
        columns = (rows["names"], rows["identities"], rows["cameras"], tracks)
        for i, (name, identity, camera, track) in enumerate(zip(*columns, strict=True)):
            known = [v for v in (identity, camera, track) if v is not None]
            if type(name) is not str or any(type(value) is not int for value in known):
                raise ValueError(f"{split} record {i}")
            entries.append(Entry(name, f"{split}/{i}", identity, camera, None, track))
    names = metadata["identity_names"]
    return Layout(
        splits=splits,
        found=dict(metadata["found"]),
        identity_names=None if names is None else tuple(names),
        camera_names={int(k): v for k, v in metadata.get("camera_names", {}).items()},
        columns=metadata.get("columns", {}),
        reading=Reading(
            where=where,
            taken=sum(map(len, splits.values())),
            left_out={
                k: f"cannot be read: {w}" for k, w in metadata["skipped"].items()
            },
            notes=tuple(metadata.get("told", ())),
        ),
    )


def _damaged(root: Path, why: str) -> InputError:
    line = " ".join(why.split())[:160]
    return InputError(
        f"prepared dataset {str(root)!r} is damaged ({line}): prepare it again with "
        "--overwrite"
    )
