"""TFDS builders of the datasets: encoded images, so that no TensorFlow is needed.

A prepared dataset is an ordinary TFDS folder, ``data_dir/NAME/VERSION``, with splits
``train``, ``query``, ``gallery`` and the features image, identity, camera, file_name.
Records lie in row order. Beside them, ``metadata.json`` has the names and labels of all
rows, so that opening a dataset reads no record.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from fgu_jax.data.decode import crop
from fgu_jax.data.images import normal_name, row_order
from fgu_jax.data.layouts.folder import read_folder
from fgu_jax.data.layouts.market import MARKET, read_market
from fgu_jax.data.layouts.tree import Entry, FolderTree, Layout, Tree
from fgu_jax.data.published import PUBLISHED
from fgu_jax.retrieval.protocol import UNKNOWN


class Builder(tfds.core.GeneratorBasedBuilder):
    """What the builders share; ``prepare.py`` hands them a tree that it has checked.

    Through TFDS alone (``download_and_prepare``) the images are read from TFDS's
    manual folder, laid out as their owners publish them.
    """

    VERSION = tfds.core.Version("1.0.0")
    SKIP_REGISTRATION = True
    # TFDS finds this out with importlib_resources, which it does not ask for.
    code_path = epath.Path(__file__)
    tree: Tree | None = None
    layout: Layout | None = None
    note: Mapping = MappingProxyType({"made": "", "source": "", "skipped": {}})
    written: Callable[[int], None] = staticmethod(lambda done: None)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "identity": np.int32,
            "camera": np.int32,
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__ or "",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def read_layout(self, tree: Tree) -> Layout:
        """Entries of a tree that holds this dataset as its owners publish it."""
        return PUBLISHED[self.name].layout(tree)

    def _split_generators(self, dl_manager):
        if self.tree is None:
            self.tree = FolderTree(Path(dl_manager.manual_dir))
        if self.layout is None:
            self.layout = self.read_layout(self.tree)
        splits = {s: in_row_order(e) for s, e in self.layout.splits.items() if e}
        self.info.metadata.update(describe(self.layout, self.tree), **self.note)
        return {split: self._records(entries) for split, entries in splits.items()}

    def _generate_examples(self, **kwargs):
        raise NotImplementedError("_split_generators names the generators")

    def _records(self, entries: list[Entry]) -> Iterator[tuple[int, dict]]:
        assert self.tree is not None
        for row, entry in enumerate(entries):
            yield (
                row,
                {
                    "image": io.BytesIO(_encoded(self.tree, entry)),
                    "identity": UNKNOWN if entry.identity is None else entry.identity,
                    "camera": UNKNOWN if entry.camera is None else entry.camera,
                    "file_name": entry.name.encode("utf-8", "surrogateescape"),
                },
            )
            self.written(1)


class Market1501(Builder):
    """Market-1501: bounding_box_train, query and bounding_box_test."""

    name = "market1501"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack Market-1501-v15.09.15.zip here."


class DukeMTMCReID(Builder):
    """DukeMTMC-reID, which its authors withdrew in 2019; laid out as Market-1501."""

    name = "dukemtmcreid"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack DukeMTMC-reID here, if you may use it."


class MSMT17(Builder):
    """MSMT17, V1 or V2: list_train.txt and its siblings, and the images they name."""

    name = "msmt17"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack MSMT17_V1 or MSMT17_V2 here."


class Folder(Builder):
    """Any tree of images; labels by a pattern or a table, or none."""

    name = "folder"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the images here, in folders as you like."

    def read_layout(self, tree: Tree) -> Layout:
        return read_folder(tree)


class Synthetic(Builder):
    """Drawn pedestrians, in Market-1501's layout."""

    name = "synthetic"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "prepare.py draws them."

    def read_layout(self, tree: Tree) -> Layout:
        return read_market(tree, MARKET)


_BUILDERS = {b.name: b for b in (Market1501, DukeMTMCReID, MSMT17, Folder, Synthetic)}


def builder_of(name: str) -> type[Builder]:
    """The builder of a dataset; of a published one without its own, one by its name."""
    if name in _BUILDERS:
        return _BUILDERS[name]
    known = PUBLISHED[name]
    about = {"name": name, "__doc__": known.title, "__module__": __name__}
    about["MANUAL_DOWNLOAD_INSTRUCTIONS"] = f"Unpack {known.title} here."
    return type(known.stem.title(), (Builder,), about)


def _encoded(tree: Tree, entry: Entry) -> bytes:
    """An image's bytes; of a box, those of its pixels alone."""
    data = tree.read(entry.key)
    return data if entry.box is None else crop(data, entry.box)


def in_row_order(entries: list[Entry]) -> list[Entry]:
    """Entries of one split as rows lie."""
    return [entries[i] for i in row_order([normal_name(e.name) for e in entries])]


def describe(layout: Layout, tree: Tree) -> dict:
    """What ``metadata.json`` keeps of a layout, all of it JSON."""
    splits = {
        split: {
            "names": [entry.name for entry in entries],
            "identities": [entry.identity for entry in entries],
            "cameras": [entry.camera for entry in entries],
        }
        | _tracks(entries)
        for split, entries in (
            (split, in_row_order(entries)) for split, entries in layout.splits.items()
        )
    }
    digest = hashlib.sha256(json.dumps(splits, sort_keys=True).encode()).hexdigest()
    names = layout.identity_names
    return {
        "splits": splits,
        "digest": digest,
        "found": dict(layout.found),
        "identity_names": None if names is None else list(names),
        "camera_names": dict(layout.camera_names),
        "columns": {name: dict(row) for name, row in layout.columns.items()},
    }


def _tracks(entries: list[Entry]) -> dict[str, list[int | None]]:
    tracks = [entry.track for entry in entries]
    return {"tracks": tracks} if any(track is not None for track in tracks) else {}
