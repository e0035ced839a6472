"""Features of a whole folder, read and embedded a part at a time."""

from pathlib import Path

from fgu_jax.data import Dataset, load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.embedder import Embedder
from fgu_jax.inference.feature_file import Features
from fgu_jax.progress import Progress


def read_folder(
    folder: str | Path,
    *,
    skip_bad: bool = False,
    pattern: str | None = None,
    table: str | Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Every image below a folder, all of them in ``Dataset.train``.

    Args:
      folder: any tree of images.
      skip_bad: leave out images that cannot be read, and name them.
      pattern, table: where labels come from, as of ``load_dataset``; none: no labels.
      progress: called with (done, total, what).

    Raises:
      InputError: no folder, or no image in it.
    """
    if not Path(folder).is_dir():
        raise InputError(f"images {str(folder)!r} is not a folder: name one")
    return load_dataset(
        "folder",
        data_dir=folder,
        skip_bad=skip_bad,
        pattern=pattern,
        table=table,
        one_set=True,
        progress=progress,
    )


def embed_folder(
    embedder: Embedder,
    dataset: Dataset,
    *,
    part: str = "fused",
    progress: Progress | None = None,
) -> Features:
    """Features of the images of ``read_folder``, whatever their number.

    Args:
      embedder: from ``fgu_jax.load`` or ``load_pretrained``.
      dataset: from ``read_folder``.
      part: ``fused``, ``global`` or ``local``.
      progress: called with (done, total, what).

    Raises:
      InputError: images that cannot be read (all are looked for before the first name
        is told).
    """
    found = embedder.of_set(dataset.train, (part,), stream="always", progress=progress)
    return Features(
        dataset.train.names,
        found[part],
        dataset.train_labels,
        dataset.reading,
        identity_names=dataset.identity_names or (),
        columns=dataset.columns,
        pictures=dataset.train.keys,
        identity=embedder.identity,
    )
