"""Features of a whole folder, read and embedded a part at a time."""

from pathlib import Path

from fgu_jax.data import load_dataset
from fgu_jax.errors import InputError
from fgu_jax.inference.embedder import Embedder
from fgu_jax.inference.feature_file import Features
from fgu_jax.progress import Progress


def embed_folder(
    embedder: Embedder,
    folder: str | Path,
    *,
    part: str = "fused",
    skip_bad: bool = False,
    pattern: str | None = None,
    table: str | Path | None = None,
    progress: Progress | None = None,
) -> Features:
    """Features of every image below a folder, whatever its size.

    Args:
      embedder: from ``fgu_jax.load`` or ``load_pretrained``.
      folder: any tree of images.
      part: ``fused``, ``global`` or ``local``.
      skip_bad: leave out images that cannot be read, and name them.
      pattern, table: where labels come from, as of ``load_dataset``; none: no labels.
      progress: called with (done, total, what).

    Raises:
      InputError: no folder, no image in it, or images that cannot be read (all are
        looked for before the first name is told).
    """
    if not Path(folder).is_dir():
        raise InputError(f"images {str(folder)!r} is not a folder: name one")
    dataset = load_dataset(
        "folder",
        data_dir=folder,
        skip_bad=skip_bad,
        pattern=pattern,
        table=table,
        one_set=True,
        progress=progress,
    )
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
