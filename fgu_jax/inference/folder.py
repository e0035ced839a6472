"""Features of a whole folder, read and embedded a part at a time, and their file."""

import csv
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fgu_jax._version import __version__
from fgu_jax.data import load_dataset
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError
from fgu_jax.files import whole_file
from fgu_jax.inference.embedder import Embedder
from fgu_jax.progress import Progress


@dataclasses.dataclass(frozen=True)
class FolderFeatures:
    """Features of the images of a folder.

    Attributes:
      names: relative to the folder, NFC, with ``/``; in row order, which is that of a
        hash of the name: the same however the folder is listed.
      features: float32 [N, F], unit rows.
      skipped: images that cannot be read, and why; empty unless they were let pass.
      reading: what was taken of the files that are there, and what was left out.
    """

    names: tuple[str, ...]
    features: np.ndarray
    skipped: Mapping[str, str]
    reading: Reading


def embed_folder(
    embedder: Embedder,
    folder: str | Path,
    *,
    part: str = "fused",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> FolderFeatures:
    """Features of every image below a folder, whatever its size.

    Args:
      embedder: from ``fgu_jax.load``.
      folder: any tree of images.
      part: ``fused``, ``global`` or ``local``.
      skip_bad: leave out images that cannot be read, and name them.
      progress: called with (done, total, what).

    Raises:
      InputError: no folder, no image in it, or images that cannot be read (all are
        looked for before the first name is told).
    """
    if not Path(folder).is_dir():
        raise InputError(f"images {str(folder)!r} is not a folder: name one")
    dataset = load_dataset(
        "folder", data_dir=folder, skip_bad=skip_bad, progress=progress
    )
    found = embedder.of_set(dataset.train, (part,), stream="always", progress=progress)
    assert dataset.reading is not None  # a folder's always is
    return FolderFeatures(
        dataset.train.names, found[part], dataset.skipped, dataset.reading
    )


def write_features(
    path: Path, found: FolderFeatures, embedder: Embedder, *, part: str
) -> None:
    """Writes the features of a folder, whole or not; the ending says how.

    ``.csv`` has a line an image: ``image``, then ``f0`` to ``fF-1`` with nine digits,
    which give every float32 back. Anything else is an ``.npz`` of ``names`` [N],
    ``features`` float32 [N, F] and ``run``.

    ``run`` is a JSON text: ``identity`` of the network (two files with the same one
    can be compared), ``step``, ``part``, ``fgu_jax`` (version), ``config`` and
    ``reading``. Read it with ``numpy.load(path)``; nothing in it is pickled.

    Raises:
      InputError: the file cannot be written, or the disk is full.
    """
    if path.suffix.lower() == ".csv":
        _write_csv(path, found)
        return
    run = {
        "identity": embedder.identity,
        "step": embedder.step,
        "part": part,
        "fgu_jax": __version__,
        "config": json.loads(embedder.config.to_json()),
        "reading": found.reading.record(),
    }
    with whole_file(path) as scratch, scratch.open("wb") as file:
        np.savez(
            file,
            names=np.array(found.names, dtype=np.str_),
            features=found.features,
            run=np.array(json.dumps(run)),
        )


def _write_csv(path: Path, found: FolderFeatures) -> None:
    with (
        whole_file(path) as scratch,
        scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f,
    ):
        writer = csv.writer(f)
        writer.writerow(["image", *(f"f{k}" for k in range(found.features.shape[1]))])
        for name, feature in zip(found.names, found.features, strict=True):
            writer.writerow([name, *(f"{value:.9g}" for value in feature)])
