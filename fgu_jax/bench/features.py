"""Features like those of a network, drawn; and those to rank, drawn or from a file."""

import dataclasses
import zipfile
from typing import Any

import numpy as np

from fgu_jax.bench.sizes import Evaluate
from fgu_jax.errors import InputError


def unit_rows(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    around: np.ndarray | None = None,
    spread: float = 1.0,
) -> np.ndarray:
    """Float32 unit rows; with ``around``, at about ``spread`` from those rows.

    >>> rows = unit_rows(np.random.default_rng(0), (2, 3))
    >>> np.linalg.norm(rows, axis=1).round(5).tolist()
    [1.0, 1.0]
    """
    rows = rng.standard_normal(shape, np.float32)
    if around is not None:
        rows *= np.float32(spread / shape[-1] ** 0.5)
        rows += around
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows


def clustered(
    rng: np.random.Generator, labels: np.ndarray, width: int, spread: float
) -> np.ndarray:
    """Float32 unit rows [N, width], those of one label around one centre."""
    centres = unit_rows(rng, (int(labels.max()) + 1, width))
    return unit_rows(rng, (len(labels), width), around=centres[labels], spread=spread)


@dataclasses.dataclass(frozen=True)
class Ranked:
    """Queries and gallery: unit float32 rows, identities, cameras."""

    query: np.ndarray
    gallery: np.ndarray
    query_ids: np.ndarray
    gallery_ids: np.ndarray
    query_cameras: np.ndarray
    gallery_cameras: np.ndarray

    def first(self, images: int) -> "Ranked":
        """A part of about ``images`` rows, queries and gallery in proportion."""
        total = len(self.query) + len(self.gallery)
        q = max(1, round(len(self.query) * images / total))
        g = images - q
        rows = np.sort(np.random.default_rng(0).permutation(len(self.gallery))[:g])
        kept = {"query": slice(q), "gallery": rows}
        return Ranked(
            **{key: getattr(self, key)[kept[key.split("_")[0]]] for key in _KEYS}
        )

    @property
    def labels(self) -> dict[str, Any]:
        """What ``evaluate`` takes by name."""
        return {key: getattr(self, key) for key in _KEYS[2:]}


_KEYS = tuple(field.name for field in dataclasses.fields(Ranked))


def open_features(sizes: Evaluate) -> Ranked:
    """The features of ``--features``, or drawn ones.

    Raises:
      InputError: a file that cannot be read, or without one of the keys.
    """
    if sizes.features:
        return _read(sizes.features)
    rng = np.random.default_rng(5)
    people = max(2, sizes.queries // 4)
    query_ids = 1 + rng.integers(0, people, sizes.queries)
    gallery_ids = rng.integers(0, people + 1, sizes.gallery)  # 0: distractors
    gallery_ids[: len(query_ids)] = query_ids[: len(gallery_ids)]
    features = clustered(
        rng, np.concatenate([query_ids, gallery_ids]), sizes.width, spread=1.2
    )
    return Ranked(
        features[: sizes.queries],
        features[sizes.queries :],
        query_ids,
        gallery_ids,
        rng.integers(0, 6, sizes.queries),
        rng.integers(0, 6, sizes.gallery),
    )


def _read(path: str) -> Ranked:
    try:
        with np.load(path) as file:
            found = {key: file[key] for key in _KEYS}
    except KeyError as error:
        raise InputError(
            f"{path}: {error.args[0]}; needed are {', '.join(_KEYS)}"
        ) from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as .npz: {error}") from None
    for key in _KEYS[:2]:
        rows = found[key].astype(np.float32)
        found[key] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return Ranked(**found)
