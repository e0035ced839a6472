"""``clusters.csv``: which cluster each image is in, and how sure that is."""

import csv
from pathlib import Path

import numpy as np

from fgu_jax.clustering import Standing
from fgu_jax.files import whole_file

COLUMNS = ("image", "cluster", "confidence", "nearest_cluster")


def write_clusters(
    path: Path, names: tuple[str, ...], clusters: np.ndarray, standing: Standing
) -> None:
    """``clusters.csv``: ``COLUMNS``; whole, or not there at all.

    Args:
      path: the file, replaced if it is there.
      names: [N]; they come out as they are on the disk, whatever bytes they hold.
      clusters: int [N].
      standing: of the images; confidence with four decimals, and the other cluster
        that is most alike, empty where there is none.

    Raises:
      InputError: it cannot be written.
    """
    sure = (f"{value:.4f}" for value in standing.confidence)
    nearest = ("" if other < 0 else int(other) for other in standing.nearest)
    with (
        whole_file(path) as scratch,
        scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f,
    ):
        writer = csv.writer(f)
        writer.writerow(COLUMNS)
        writer.writerows(zip(names, clusters.tolist(), sure, nearest, strict=True))
