"""One way in for every dataset: by name, from the folder that people have."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fgu_jax.data.dataset import Dataset, Labels, split_queries
from fgu_jax.data.images import FolderSource, ImageSet, Source, row_order
from fgu_jax.data.layouts.dialect import decode_table
from fgu_jax.data.layouts.folder import read_folder
from fgu_jax.data.layouts.market import MARKET, read_market
from fgu_jax.data.layouts.several import (
    SeveralSource,
    join_layouts,
    label_folders,
)
from fgu_jax.data.layouts.tree import Entry, FolderTree, Layout
from fgu_jax.data.looks import describe_pictures
from fgu_jax.data.prepared.read import RecordSource, find_prepared
from fgu_jax.data.published import PUBLISHED, canonical_name, count
from fgu_jax.data.reading import Reading
from fgu_jax.data.synthetic.settings import Settings
from fgu_jax.data.synthetic.write import write_synthetic
from fgu_jax.errors import InputError
from fgu_jax.progress import Progress
from fgu_jax.retrieval.protocol import UNKNOWN

JUNK = "of nobody known, in query or gallery: not ranked"


def load_dataset(
    name: str,
    *,
    data_dir: str | Path | Sequence[str | Path],
    seed: int = 0,
    skip_bad: bool = False,
    progress: Progress | None = None,
    pattern: str | None = None,
    table: str | Path | None = None,
    settings: Settings | None = None,
    one_set: bool = False,
) -> Dataset:
    """Images and labels of a dataset, rows in an order that carries nothing.

    Rows go by a hash of the file names, so a folder listed in any order gives the same
    rows. No picture is decoded here, unless ``skip_bad`` asks which ones can be.

    Args:
      name: ``synthetic`` (drawn now, if it is not there yet), a published dataset
        (``NAMES``) or ``folder`` (any tree of images).
      data_dir: the folder that holds the dataset's folder, or that folder itself; of
        ``folder`` also several, whose identities are kept apart. What
        ``data_prep/prepare.py`` wrote there is read first, and has the same rows.
      seed: of ``synthetic``, where ``settings`` do not say it.
      skip_bad: leave out images that cannot be decoded; ``Dataset.skipped`` names them.
      progress: called with (done, total, what).
      pattern, table: where ``folder`` has its labels from: a glob with groups such as
        ``{identity}_c{camera}*.jpg``, or a CSV file with the columns image, identity,
        camera, track, split, bbox; neither means no labels.
      settings: of ``synthetic``.
      one_set: take all splits together, as training images; no query, no gallery.

    Returns:
      The dataset; ``train_labels``, ``query`` and ``gallery`` are None without labels.

    Raises:
      InputError: unknown name, missing or wrong folder (and where to get the data).
    """
    name = canonical_name(name)
    if not isinstance(data_dir, (str, os.PathLike)) and len(data_dir) != 1:
        return _load_several(
            name, [Path(each) for each in data_dir], pattern, table, skip_bad, progress
        )
    if not isinstance(data_dir, (str, os.PathLike)):
        data_dir = data_dir[0]
    data_dir = Path(data_dir)
    if name != "folder" and (pattern is not None or table is not None):
        raise InputError(f"pattern and table are for the dataset 'folder', not {name}")
    labels = {"pattern": pattern, "table": read_table(table)}
    drawn = settings or Settings(seed=seed)
    prepared = find_prepared(name, data_dir)
    if prepared is not None and name == "synthetic":
        prepared = prepared if prepared.metadata["made"] == drawn.digest() else None
    source: Source
    if prepared is not None:
        if any(labels.values()) and prepared.metadata["made"] != digest_of(labels):
            raise InputError(
                f"{str(prepared.root)!r} was prepared with another pattern or table: "
                "leave them out, or prepare it again with --overwrite"
            )
        layout, source = prepared.layout, prepared.source
    elif name == "synthetic":
        root = write_synthetic(drawn, data_dir, progress)
        layout, source = read_market(FolderTree(root), MARKET), FolderSource(root)
    elif name == "folder":
        if not data_dir.is_dir():
            raise _no_folder(name, data_dir)
        layout = read_folder(FolderTree(data_dir), **labels, ranked=not one_set)
        source = FolderSource(data_dir)
    else:
        root = find_folder(name, data_dir)
        layout, source = PUBLISHED[name].layout(FolderTree(root)), FolderSource(root)
    if one_set:
        layout = _as_one_set(layout)
    dataset = build_dataset(
        name, layout, source, skip_bad=skip_bad, one_set=one_set, progress=progress
    )
    if prepared is not None:
        skipped = {**prepared.metadata["skipped"], **dataset.skipped}
        dataset = replace(dataset, skipped=skipped)
    return dataset


def _load_several(
    name: str,
    folders: list[Path],
    pattern: str | None,
    table: str | Path | None,
    skip_bad: bool,
    progress: Progress | None,
) -> Dataset:
    """``load_dataset`` of several folders of images."""
    if name != "folder" or table is not None or not folders:
        raise InputError(
            f"{len(folders)} data_dirs with {name if table is None else 'a table'}: "
            "several go with --dataset=folder and a name pattern or none"
        )
    labels = label_folders(folders)
    for folder in folders:
        if not folder.is_dir():
            raise _no_folder(name, folder)
    layouts = {
        label: read_folder(FolderTree(folder), pattern=pattern)
        for label, folder in labels.items()
    }
    source = SeveralSource(labels)
    layout = join_layouts(layouts)
    return build_dataset(name, layout, source, skip_bad=skip_bad, progress=progress)


def _no_folder(name: str, data_dir: Path) -> InputError:
    if not data_dir.is_file():
        return InputError(f"data_dir {str(data_dir)!r} is not a folder: name one")
    return InputError(
        f"data_dir {str(data_dir)!r} is a file: unpack it and name the folder, or run "
        f"python data_prep/prepare.py --dataset={name} --source={data_dir} "
        "--data_dir=FOLDER and give that --data_dir"
    )


def _as_one_set(layout: Layout) -> Layout:
    """The layout with all of its images in the training split, and that told."""
    taken = [split for split, of in layout.splits.items() if of]
    every = [entry for of in layout.splits.values() for entry in of]
    reading = layout.reading
    if reading is not None and len(taken) > 1:
        reading = reading.noting(f"all splits are taken together: {', '.join(taken)}")
    splits = {"train": every, "query": [], "gallery": []}
    return replace(layout, splits=splits, reading=reading)


def digest_of(labels: Mapping[str, str | None]) -> str:
    """A name for where a folder's labels came from: its pattern or its table."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()


def find_folder(name: str, data_dir: Path) -> Path:
    """The folder of a published dataset: ``data_dir``, or up to two levels below it."""
    known = PUBLISHED[name]
    if data_dir.is_file():
        raise _no_folder(name, data_dir)
    if (data_dir / known.marker).exists():
        return data_dir

    def likely(folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        return sorted(
            child
            for child in folder.iterdir()
            if re.sub("[^a-z0-9]", "", child.name.lower()).startswith(known.stem)
        )

    for child in (data_dir, *likely(data_dir)):
        inside = (child / name for name in known.below)
        for folder in (child, *inside, *likely(child)):
            if (folder / known.marker).exists():
                return folder
    raise InputError(
        f"{known.title} is not in {str(data_dir)!r}: {known.owners}; then run python "
        f"data_prep/prepare.py --dataset={name} --source=ARCHIVE_OR_FOLDER "
        f"--data_dir={data_dir}, or point data_dir at the unpacked folder"
    )


def read_table(path: str | Path | None) -> str | None:
    """Text of a CSV file, in any usual encoding."""
    if path is None:
        return None
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):  # it would be waited for
            raise InputError(f"CSV {str(path)!r} is a pipe: save it as a file")
        return decode_table(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"CSV {str(path)!r}: {error.strerror or error}") from error


def build_dataset(
    name: str,
    layout: Layout,
    source: Source,
    *,
    skip_bad: bool = False,
    one_set: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """A dataset from the entries of a layout: rows in their order, junk not ranked.

    Junk (identity -1) is dropped from query and gallery. Training images stay whoever
    is on them, as no label may decide what is learnt. Of ``one_set`` none is ranked.

    With ``skip_bad``, images that cannot be decoded are left out first; queries are
    chosen from what remains.
    """
    splits = {
        split: [e for e in entries if e.identity != UNKNOWN or split == "train"]
        for split, entries in layout.splits.items()
    }
    skipped: dict[str, str] = {}
    gone: dict[str, str] = {}
    if skip_bad:
        for split, entries in splits.items():
            bad = _images(entries, source).find_bad(progress=progress)
            splits[split] = [entry for entry in entries if entry.name not in bad]
            kept = {entry.key for entry in splits[split]}
            gone |= {
                str(entry.key): bad[entry.name]
                for entry in entries
                if entry.name in bad and entry.key not in kept
            }
            if entries and not splits[split]:
                raise InputError(
                    f"{name}: none of its {len(entries)} {split} images can be read"
                )
            skipped |= bad
    train, train_labels = _split(splits["train"], source)
    query, query_labels = _split(splits["query"], source)
    gallery, gallery_labels = _split(splits["gallery"], source)
    ranked, ranked_labels = gallery, gallery_labels
    if len(gallery) == 0:
        ranked, ranked_labels = train, train_labels
    if len(query) == 0 and ranked_labels is not None and not one_set:
        query, query_labels, gallery, gallery_labels = split_queries(
            ranked, ranked_labels
        )
    both = (query_labels, gallery_labels)
    evaluated = all(labels is not None and labels.known for labels in both)
    return Dataset(
        name=name,
        train=train,
        train_labels=train_labels,
        query=query if evaluated else None,
        query_labels=query_labels if evaluated else None,
        gallery=gallery if evaluated else None,
        gallery_labels=gallery_labels if evaluated else None,
        identity_names=layout.identity_names,
        camera_names=layout.camera_names,
        skipped=skipped,
        found=layout.found,
        reading=_reading(
            layout,
            splits,
            gone,
            {"query": query, "gallery": gallery} if evaluated else {},
            # Prepared records were looked at, and take long to open.
            () if isinstance(source, RecordSource) else describe_pictures(train),
        ),
        columns=layout.columns,
    )


def _reading(
    layout: Layout,
    splits: dict[str, list[Entry]],
    gone: dict[str, str],
    ranked: Mapping[str, ImageSet],
    pictures: tuple[str, ...],
) -> Reading | None:
    """The layout's reading, once junk and unreadable images are left out as well."""
    if layout.reading is None:
        return None
    taken = {e.key for entries in splits.values() for e in entries}
    junk = {
        str(entry.key): JUNK
        for entries in layout.splits.values()
        for entry in entries
        if entry.key not in taken and str(entry.key) not in gone
    }
    reading = layout.reading.without(gone)
    counts = count(replace(layout, splits=splits))
    counts |= {f"{split} images": len(images) for split, images in ranked.items()}
    boxes = sum(e.box is not None for entries in splits.values() for e in entries)
    return replace(
        reading,
        taken=reading.taken - len(junk),
        left_out={**reading.left_out, **junk},
        counts=counts | {"boxes": boxes},
        pictures=pictures,
    )


def _split(entries: list[Entry], source: Source) -> tuple[ImageSet, Labels | None]:
    entries = [entries[i] for i in row_order([entry.name for entry in entries])]
    images = _images(entries, source)
    return images, labels_of(entries)


def labels_of(entries: Sequence[Entry | None]) -> Labels | None:
    """What entries say of their images, ``None`` where that is nothing."""
    labels = Labels(
        identities=_filled([e.identity if e else None for e in entries], UNKNOWN),
        cameras=_known([e.camera if e else None for e in entries]),
        tracks=_known([e.track if e else None for e in entries]),
    )
    told = labels.known or labels.cameras is not None or labels.tracks is not None
    return labels if told else None


def _known(numbers: list[int | None]) -> np.ndarray | None:
    """The numbers, 0 where there is none; ``None`` where there is none at all."""
    return None if all(n is None for n in numbers) else _filled(numbers, 0)


def _filled(numbers: list[int | None], otherwise: int) -> np.ndarray:
    return np.array([otherwise if n is None else n for n in numbers], np.int32)


def _images(entries: list[Entry], source: Source) -> ImageSet:
    with_boxes = any(entry.box is not None for entry in entries)
    return ImageSet(
        names=tuple(entry.name for entry in entries),
        keys=tuple(entry.key for entry in entries),
        source=source,
        boxes=tuple(entry.box for entry in entries) if with_boxes else None,
    )
