"""``clusters.csv``: which cluster each image is in, and how sure that is."""

import csv
from pathlib import Path

import numpy as np

from fgu_jax.files import whole_file


def write_clusters(
    path: Path, names: tuple[str, ...], clusters: np.ndarray, confidence: np.ndarray
) -> None:
    """``clusters.csv``: image, cluster, confidence; whole, or not there at all.

    Args:
      path: the file, replaced if it is there.
      names: [N]; they come out as they are on the disk, whatever bytes they hold.
      clusters: int [N].
      confidence: float [N], written with four decimals.

    Raises:
      InputError: it cannot be written.
    """
    shown = (f"{value:.4f}" for value in confidence)
    with (
        whole_file(path) as scratch,
        scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f,
    ):
        writer = csv.writer(f)
        writer.writerow(["image", "cluster", "confidence"])
        writer.writerows(zip(names, clusters.tolist(), shown, strict=True))
