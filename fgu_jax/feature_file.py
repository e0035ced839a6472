"""Features on disk: an ``.npz`` that says which network they come from."""

import json
from pathlib import Path

import numpy as np

from fgu_jax._version import __version__
from fgu_jax.embedder import Embedder
from fgu_jax.folder_features import FolderFeatures
from fgu_jax.whole_files import whole_file


def write_features(
    path: Path, found: FolderFeatures, embedder: Embedder, *, part: str
) -> None:
    """Writes ``names`` [N], ``features`` float32 [N, F] and ``run``, whole or not.

    ``run`` is a JSON text: ``identity`` of the network (two files with the same one
    can be compared), ``step``, ``part``, ``fgu_jax`` (version) and ``config``. Read it
    with ``numpy.load(path)``; nothing in it is pickled.

    Raises:
      InputError: the file cannot be written, or the disk is full.
    """
    run = {
        "identity": embedder.identity,
        "step": embedder.step,
        "part": part,
        "fgu_jax": __version__,
        "config": json.loads(embedder.config.to_json()),
    }
    with whole_file(path) as scratch, scratch.open("wb") as file:
        np.savez(
            file,
            names=np.array(found.names, dtype=np.str_),
            features=found.features,
            run=np.array(json.dumps(run)),
        )
