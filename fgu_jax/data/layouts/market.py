"""Market-1501 and DukeMTMC-reID: three folders, labels in the file names."""

import re
from dataclasses import dataclass

from fgu_jax.data.decode import is_picture
from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.tree import Entry, Layout, Tree
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN

FOLDERS = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}


@dataclass(frozen=True)
class NameRule:
    """How a dataset spells identity and camera in a file's name."""

    pattern: re.Pattern[str]
    example: str


# Some of Market-1501's own files end in .jpg.jpg.
MARKET = NameRule(
    re.compile(r"(-1|\d{1,9})_c(\d{1,9})s\d+_\d+_\d+\.jpg(\.jpg)?", re.I | re.A),
    "0002_c1s1_000451_03.jpg",
)
DUKE = NameRule(
    re.compile(r"(-1|\d{1,9})_c(\d{1,9})_f\d+\.jpg(\.jpg)?", re.I | re.A),
    "0001_c2_f0046182.jpg",
)


def read_market(tree: Tree, rule: NameRule, *, prefix: str = "") -> Layout:
    """Entries of ``bounding_box_train``, ``query`` and ``bounding_box_test``.

    Junk (identity -1) is kept here with its -1, identity 0 as a distractor. Files that
    are no pictures (``Thumbs.db``) are counted and left.

    Args:
      tree: the folder or archive.
      rule: how names are spelt.
      prefix: what stands before the three folders' names, ending in ``/`` or empty.

    Raises:
      InputError: a folder is missing or empty, or a picture has another kind of name.
    """
    splits: dict[str, list[Entry]] = {split: [] for split in FOLDERS}
    starts = {f"{prefix}{folder}/": split for split, folder in FOLDERS.items()}
    found = {"other files": 0, "names ending in .jpg.jpg": 0, "junk images": 0}
    for key in tree.names:
        start = next((start for start in starts if key.startswith(start)), None)
        if start is None:
            continue
        name = normal_name(key[len(start) :])
        if not is_picture(name):
            found["other files"] += 1
            continue
        match = rule.pattern.fullmatch(name)
        if match is None:
            raise InputError(
                f"{tree.where}: {key!r} is not named as this dataset's images are "
                f"(such as {rule.example}); is it another dataset?"
            )
        identity, camera = int(match[1]), int(match[2])
        found["names ending in .jpg.jpg"] += match[3] is not None
        found["junk images"] += identity == UNKNOWN
        splits[starts[start]].append(Entry(name, key, identity, camera))
    for split, folder in FOLDERS.items():
        if not splits[split]:
            raise InputError(
                f"{tree.where}: no images in {prefix}{folder}/; it should hold the "
                f"dataset's official folders {', '.join(FOLDERS.values())}"
            )
    return Layout(splits=splits, found=found)
