"""MARS: tracks of people, each image named by identity, camera, track and frame."""

import io
import re

import numpy as np

from fgu_jax.data.images import normal_name
from fgu_jax.data.kinds import is_picture
from fgu_jax.data.layouts.tree import Entry, Layout, Tree, reading_of
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN

NAME = re.compile(r"(00-1|\d{4})C(\d)T(\d{4})F(\d{3,4})\.(?:jpe?g|png)", re.I | re.A)
_EXAMPLE = "0001C1T0001F001.jpg"
_QUERY, _TRACKS, _LIST = "query_IDX", "tracks_test_info", "test_name.txt"


def read_mars(tree: Tree, *, prefix: str = "") -> Layout:
    """Entries of ``bbox_train`` and ``bbox_test``.

    ``00-1`` is junk, ``0000`` a distractor. A query is the first image of a query's
    track; the rest of that track is neither query nor gallery. Which tracks are queries
    stands in ``info/query_IDX.mat``; without it, they are the first of each identity
    and camera, and the reading says so.

    Args:
      tree: the folder or archive.
      prefix: what stands before the folders' names, ending in ``/`` or empty.

    Raises:
      InputError: a folder is missing or empty, or an image has another kind of name.
    """
    train: list[Entry] = []
    tracks: dict[tuple[str, ...], list[Entry]] = {}
    reasons: dict[str, str] = {}
    for key in sorted(tree.names):
        folder, _, name = key.removeprefix(prefix).partition("/")
        if not key.startswith(prefix) or folder not in ("bbox_train", "bbox_test"):
            continue
        if not is_picture(name):
            reasons[key] = "no picture by its ending"
            continue
        match = NAME.fullmatch(name.rpartition("/")[2])
        if match is None:
            raise InputError(
                f"{tree.where}: {key!r} is not named as MARS's images are (such as "
                f"{_EXAMPLE}); is it another dataset?"
            )
        identity = UNKNOWN if match[1] == "00-1" else int(match[1])
        entry = Entry(normal_name(name), key, identity, int(match[2]))
        if folder == "bbox_train":
            train.append(entry)
        else:
            tracks.setdefault(match.groups()[:3], []).append(entry)
    if not train or not tracks:
        empty = "bbox_test" if train else "bbox_train"
        raise InputError(f"{tree.where}: no images in {prefix}{empty}/")
    chosen, note = _queries(tree, prefix, tracks)
    query = [tracks[track][0] for track in chosen]
    reasons |= {
        str(entry.key): "in a query's track, whose first image is the query"
        for track in chosen
        for entry in tracks[track][1:]
    }
    others = tracks.keys() - chosen
    gallery = [entry for track in others for entry in tracks[track]]
    splits = {"train": train, "query": query, "gallery": gallery}
    junk = sum(entry.identity == UNKNOWN for entry in gallery)
    reading = reading_of(
        tree, splits, reasons, otherwise="not in bbox_train, bbox_test", notes=[note]
    )
    found = {"junk images": junk, "tracks of the test": len(tracks)}
    return Layout(splits=splits, found=found, reading=reading)


def _queries(
    tree: Tree, prefix: str, tracks: dict[tuple[str, ...], list[Entry]]
) -> tuple[list[tuple[str, ...]], str]:
    """The tracks that are queries, and how they were found."""
    info = {name: f"{prefix}info/{name}.mat" for name in (_QUERY, _TRACKS)}
    names = f"{prefix}info/{_LIST}"
    if not {*info.values(), names} <= set(tree.names):
        first: dict[tuple[str, str], tuple[str, ...]] = {}
        for track in sorted(tracks):
            if track[0] not in ("00-1", "0000"):
                first.setdefault((track[0], track[1]), track)
        return list(first.values()), (
            "info/ is not there: the first track of each identity and camera is a query"
        )
    rows = _matrix(tree, info[_QUERY]).ravel()
    table = _matrix(tree, info[_TRACKS])
    listed = tree.read(names).decode("utf-8", "replace").split()
    chosen = []
    try:
        for row in rows:
            match = NAME.fullmatch(listed[table[row - 1, 0] - 1])
            chosen.append(match.groups()[:3] if match else ())
            tracks[chosen[-1]]
    except (IndexError, KeyError) as error:
        raise InputError(
            f"{tree.where}: info/ names a query's track that is not in bbox_test "
            f"({error}): unpack all of bbox_test, or move info/ away"
        ) from None
    return list(dict.fromkeys(chosen)), "queries are those of info/query_IDX.mat"


def _matrix(tree: Tree, key: str) -> np.ndarray:
    """The one matrix of a MATLAB file, as integers."""
    from scipy import io as scipy_io  # slow to import

    try:
        found = scipy_io.loadmat(io.BytesIO(tree.read(key)))
        (matrix,) = (v for k, v in found.items() if not k.startswith("__"))
        return np.atleast_2d(np.asarray(matrix, np.int64))
    except InputError:
        raise
    except Exception as error:  # a damaged file can break SciPy's reader anywhere
        raise InputError(
            f"{tree.where}: {key} is damaged or no MATLAB file ({type(error).__name__})"
        ) from None
