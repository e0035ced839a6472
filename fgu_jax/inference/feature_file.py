"""Features in a file: those that ``embed`` writes, and those of any other tool."""

import csv
import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fgu_jax._version import __version__
from fgu_jax.data import Labels
from fgu_jax.data.layouts.folder import picture_of, read_names
from fgu_jax.data.load import labels_of, read_table
from fgu_jax.data.reading import Reading
from fgu_jax.errors import InputError
from fgu_jax.files import whole_file
from fgu_jax.inference.embedder import Embedder
from fgu_jax.messages import first_line, short

NAMES = frozenset(
    ("names", "name", "paths", "path", "images", "image", "files", "filenames", "keys")
) | {"image_names", "image_paths", "image_ids", "image_id", "ids"}
FEATURES = frozenset(
    ("features", "feature", "feats", "embeddings", "embedding", "vectors", "x")
)
_BEGINNINGS = (b"\x93NUM", b"PK\x03\x04", b"PK\x05\x06")


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of images, by name.

    Attributes:
      names: [N]; of a folder relative to it, NFC, with ``/``, in row order, which is
        that of a hash of the name: the same however the folder is listed.
      features: float32 [N, F], unit rows.
      labels: identities, cameras and tracks, where they were asked for.
      reading: of a folder: what was taken of the files there, and what was left out.
      notes: what else was understood of the names, a line each.
      identity_names: what identity ``i`` is called is ``identity_names[i - 1]``.
      columns: of a table of labels, as it has them, a row by an image's name.
      pictures: [N], the files that images are, or are cut from; () where each is one.
      identity: of the network, ``Embedder.identity``; empty where nobody says.
    """

    names: tuple[str, ...]
    features: np.ndarray
    labels: Labels | None = None
    reading: Reading | None = None
    notes: tuple[str, ...] = ()
    identity_names: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    pictures: tuple[str | int, ...] = ()
    identity: str = ""


def write_features(
    path: Path, found: Features, embedder: Embedder, *, part: str
) -> None:
    """Writes the features of images, whole or not; the ending says how.

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
        "reading": None if found.reading is None else found.reading.record(),
    }
    with whole_file(path) as scratch, scratch.open("wb") as file:
        np.savez(
            file,
            names=np.array(found.names, dtype=np.str_),
            features=found.features,
            run=np.array(json.dumps(run)),
        )


def _write_csv(path: Path, found: Features) -> None:
    with (
        whole_file(path) as scratch,
        scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f,
    ):
        writer = csv.writer(f)
        writer.writerow(["image", *(f"f{k}" for k in range(found.features.shape[1]))])
        for name, feature in zip(found.names, found.features, strict=True):
            writer.writerow([name, *(f"{value:.9g}" for value in feature)])


def read_features(
    path: str | Path,
    names: str | Path | None = None,
    *,
    pattern: str | None = None,
    table: str | Path | None = None,
) -> Features:
    """Features and names that any tool wrote.

    Args:
      path: an .npz of names (text or whole numbers) and features, under any of the
        keys ``NAMES`` and ``FEATURES`` (or one array of text and one of numbers [N, F]
        under any key); or an .npy of features, [N, F].
      names: a file of one name a line, or an .npy of names; needed where ``path``
        holds none.
      pattern, table: where the names' labels come from, as of ``load_dataset``.

    Returns:
      ``Features``, rows in the file's order, of unit length.

    Raises:
      InputError: a file that is none of these, lengths that differ, names that come
        twice or are no text, features that are not finite or of zero length.
    """
    path = Path(path)
    arrays = _arrays(path)
    if names is None:
        key = _key(arrays, NAMES, _is_names, _is_text, "names", path)
        if key is None:
            raise InputError(
                f"{path} holds no names (it has {_listed(arrays)}): save them as "
                "'names', or give --names=FILE with one a line"
            )
        listed = _as_names(arrays[key], f"{path}, {key!r}")
    else:
        listed = _read_names(Path(names))
    key = _key(arrays, FEATURES, _is_table, _is_table, "features", path)
    if key is None:
        raise InputError(
            f"{path} holds no features (it has {_listed(arrays)}): save them as "
            "'features', numbers [images, width]"
        )
    features = arrays[key]
    if features.dtype.kind not in "fiu" or features.ndim != 2 or 0 in features.shape:
        raise InputError(
            f"{path}, {key!r} is {features.dtype}{list(features.shape)}: give numbers "
            "[images, width]"
        )
    if len(features) != len(listed):
        raise InputError(
            f"{path} has {len(features)} rows of features and {len(listed)} names: "
            "give one name for each row"
        )
    unique, count = np.unique(np.array(listed, dtype=object), return_counts=True)
    if len(unique) < len(listed):
        twice = unique[count > 1]
        raise InputError(
            f"{len(twice)} of {len(unique)} names come more than once, such as "
            f"{short(twice[0])}: give each image one row"
        )
    unit = _checked(features, listed)
    pictures, identity = tuple(map(picture_of, listed)), _identity(arrays)
    if pattern is None and table is None:
        return Features(listed, unit, pictures=pictures, identity=identity)
    entries, layout, notes = read_names(
        listed, str(path), pattern=pattern, table=read_table(table)
    )
    return Features(
        listed,
        unit,
        labels_of(entries),
        notes=tuple(notes),
        identity_names=layout.identity_names or (),
        columns={
            name: layout.columns.get(entry.name, {})
            for name, entry in zip(listed, entries, strict=True)
            if entry is not None
        },
        pictures=pictures,
        identity=identity,
    )


def _identity(arrays: dict[str, np.ndarray]) -> str:
    """The network that a file says its features are of: ``write_features``."""
    run = arrays.get("run")
    if run is None or run.dtype.kind != "U" or run.ndim:
        return ""
    try:
        return str(json.loads(run.item())["identity"])
    except (ValueError, KeyError, TypeError):
        return ""


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.is_fifo():  # it would be waited for
        raise InputError(f"{path} is a pipe: name an .npz or .npy file")
    try:
        with path.open("rb") as file:
            if file.read(4) not in _BEGINNINGS:  # NumPy takes all else for a pickle
                raise EOFError("it begins otherwise")
            file.seek(0)
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"features": found}
            return {key: found[key] for key in found.files}
    except FileNotFoundError:
        raise InputError(f"{path} is not there: name an .npz or .npy file") from None
    except OSError as error:
        why = error.strerror or "it is damaged"
        raise InputError(f"{path} cannot be read: {why}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path} holds Python objects, which are not read: save names by "
                "np.array(names, dtype=str) and features as one array of numbers"
            ) from error
        raise InputError(
            f"{path} is no whole .npz or .npy file ({first_line(error)}): save "
            "features as one"
        ) from error


def _key(arrays, known, fits, alone, what: str, path: Path) -> str | None:
    """The array that is meant: by its key, or the only one that may be without it."""
    named = [key for key in arrays if key.lower() in known and fits(arrays[key])]
    found = named or [key for key in arrays if alone(arrays[key])]
    if len(found) > 1 and what not in found:
        raise InputError(
            f"{path} has several arrays that may be the {what}, {', '.join(found)}: "
            f"save the right one as {what!r}"
        )
    return what if what in found else found[0] if found else None


def _is_names(array: np.ndarray) -> bool:
    return array.ndim == 1 and array.dtype.kind in "USiu"


def _is_text(array: np.ndarray) -> bool:
    """Numbers are names only where they are called so: others are labels as likely."""
    return array.ndim == 1 and array.dtype.kind in "US"


def _is_table(array: np.ndarray) -> bool:
    return array.ndim == 2 and array.dtype.kind in "fiu"


def _listed(arrays: dict[str, np.ndarray]) -> str:
    said = [f"{k} {v.dtype}{list(v.shape)}" for k, v in arrays.items()]
    return ", ".join(said) or "nothing"


def _as_names(array: np.ndarray, where: str) -> tuple[str, ...]:
    if array.dtype.kind == "S":
        return tuple(v.decode("utf-8", "surrogateescape") for v in array.tolist())
    return tuple(str(value) for value in array.tolist())


def _read_names(path: Path) -> tuple[str, ...]:
    if path.suffix.lower() == ".npy":
        array = _arrays(path)["features"]
        if not _is_names(array):
            raise InputError(
                f"{path} holds {array.dtype}{list(array.shape)}: give names [images]"
            )
        return _as_names(array, str(path))
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    empty = [number for number, line in enumerate(lines, 1) if not line.strip()]
    if empty:
        raise InputError(f"{path}, line {empty[0]}: no name; give one a line")
    return tuple(lines)


def _checked(features: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Float32 [N, F], each row divided by its length in float64."""
    out = np.empty(features.shape, np.float32)
    wrong: dict[str, list[int]] = {"not finite": [], "all 0": []}
    for low in range(0, len(features), 4096):
        part = features[low : low + 4096].astype(np.float64)
        finite = np.isfinite(part).all(axis=1)
        zero = ~part.any(axis=1)
        wrong["not finite"] += (low + np.flatnonzero(~finite)).tolist()
        wrong["all 0"] += (low + np.flatnonzero(zero)).tolist()
        part[~finite] = 0
        largest = np.abs(part).max(axis=1, keepdims=True)  # whose square may not be
        scaled = part / np.where(largest > 0, largest, 1)
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        out[low : low + 4096] = scaled / np.where(length > 0, length, 1)
    for what, rows in wrong.items():
        if rows:
            more = f" (and of {len(rows) - 1} more)" if len(rows) > 1 else ""
            raise InputError(
                f"the feature of {short(names[rows[0]])}{more} is {what}: leave the "
                "image out, or look at it and at the network"
            )
    return out
