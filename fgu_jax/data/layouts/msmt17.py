"""MSMT17, V1 and V2: folders of images, and text files that list the splits."""

import re

from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.tree import Entry, Layout, Tree, reading_of
from fgu_jax.errors import InputError

LISTS = {
    "list_train.txt": "train",
    "list_val.txt": "train",
    "list_query.txt": "query",
    "list_gallery.txt": "gallery",
}
FOLDERS = {
    # V1 has plain crops; in V2 the faces are masked.
    "V1": {"train": "train", "query": "test", "gallery": "test"},
    "V2": {
        "train": "mask_train_v2",
        "query": "mask_test_v2",
        "gallery": "mask_test_v2",
    },
}
_CAMERA = re.compile(r"\d+_\d+_(\d{1,9})_", re.A)


def read_msmt17(tree: Tree, *, prefix: str = "") -> Layout:
    """Entries of the four lists; train and validation together are the training split.

    The lists number identities from 0 and 0 means a distractor elsewhere, so each is
    taken one higher. The camera is the third field of a file's name.

    Args:
      tree: the folder or archive.
      prefix: what stands before the lists' names, ending in ``/`` or empty.

    Raises:
      InputError: a list is missing or malformed, or names an image that is not there.
    """
    present = set(tree.names)
    version = next(
        (
            version
            for version, folders in FOLDERS.items()
            if any(key.startswith(f"{prefix}{folders['train']}/") for key in present)
        ),
        None,
    )
    if version is None:
        raise InputError(
            f"{tree.where}: neither {prefix}train/ (V1) nor {prefix}mask_train_v2/ "
            "(V2) holds images; is it another dataset?"
        )
    splits: dict[str, list[Entry]] = {"train": [], "query": [], "gallery": []}
    for listing, split in LISTS.items():
        key = prefix + listing
        if key not in present:
            if listing == "list_val.txt":
                continue
            raise InputError(f"{tree.where}: {key} is missing")
        folder = f"{prefix}{FOLDERS[version][split]}/"
        text = tree.read(key).decode("utf-8-sig", "surrogateescape")
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                where = f"{tree.where}: {key}, line {number}"
                entry = _entry(line, folder, where)
                if entry.key not in present:
                    raise InputError(f"{where}: {entry.key!r} is missing")
                splits[split].append(entry)
    for split, entries in splits.items():
        if len({entry.name for entry in entries}) < max(len(entries), 1):
            raise InputError(
                f"{tree.where}: the {split} lists are empty or name an image twice"
            )
    reasons = {prefix + listing: "a list of the dataset" for listing in LISTS}
    reading = reading_of(tree, splits, reasons, otherwise="in none of the lists")
    return Layout(splits=splits, found={f"layout {version}": 1}, reading=reading)


def _entry(line: str, folder: str, where: str) -> Entry:
    name, _, identity = line.strip().rpartition(" ")
    camera = _CAMERA.match(name.rpartition("/")[2])
    if camera is None or not re.fullmatch(r"\d{1,9}", identity, re.A):
        raise InputError(
            f"{where}: {line.strip()!r} is not 'path identity' with a name such as "
            "0000/0000_000_01_0303morning_0015_0.jpg"
        )
    name = name.strip()
    return Entry(normal_name(name), folder + name, int(identity) + 1, int(camera[1]))
