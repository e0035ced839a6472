"""Features kept between searches: by the bytes of the image and by the network.

One SQLite file: an interrupted search loses nothing that it had computed, two searches
may run at once, and a file's name or date decides nothing. Whatever goes wrong with the
cache is said and costs time, never a search.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_TABLE = """
create table if not exists features (
  network text, image blob, feature blob, primary key (network, image)
) without rowid
"""


class FeatureCache:
    """Features of one network, under SHA-256 digests of the images' files.

    Attributes:
      trouble: why the cache is not used, or ``None``.
    """

    def __init__(self, path: Path | None, network: str):
        """Opens or makes the file; ``path=None`` keeps nothing.

        Args:
          path: of the SQLite file.
          network: identity of the network; features of others are not seen.
        """
        self.trouble: str | None = None
        self._path, self._network = path, network
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            self._connection = sqlite3.connect(path)
            self._connection.execute(_TABLE)
        except sqlite3.Error as error:
            self._give_up(error)

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def known(self) -> set[bytes]:
        """Digests that have a feature."""
        if self._connection is None:
            return set()
        try:
            found = self._connection.execute(
                "select image from features where network = ?", (self._network,)
            )
            return {image for (image,) in found}
        except sqlite3.Error as error:
            self._give_up(error)
            return set()

    def read(self, images: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Features float32 [F] of digests; those that are missing are left out."""
        features: dict[bytes, np.ndarray] = {}
        if self._connection is None:
            return features
        try:
            for image in images:
                found = self._connection.execute(
                    "select feature from features where network = ? and image = ?",
                    (self._network, image),
                ).fetchone()
                if found is not None:
                    features[image] = np.frombuffer(found[0], "<f4")
        except (sqlite3.Error, ValueError, TypeError) as error:
            self._give_up(error)
            return {}
        return features

    def keep(self, features: dict[bytes, np.ndarray]) -> None:
        """Adds features float32 [F] under their digests, all of them or none."""
        if self._connection is None:
            return
        rows = (
            (self._network, image, feature.astype("<f4").tobytes())
            for image, feature in features.items()
        )
        try:
            with self._connection:
                self._connection.executemany(
                    "insert or replace into features values (?, ?, ?)", rows
                )
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _give_up(self, error: Exception) -> None:
        self.trouble = f"the cache {str(self._path)!r} is not used: {error}"
        self.close()
