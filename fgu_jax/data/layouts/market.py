"""Market-1501, DukeMTMC-reID and their like: three folders, labels in file names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fgu_jax.data.images import normal_name
from fgu_jax.data.kinds import is_picture
from fgu_jax.data.layouts.tree import Entry, Layout, Tree, reading_of
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN

FOLDERS = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}


_VERI_FOLDERS = {
    "train": "image_train",
    "query": "image_query",
    "gallery": "image_test",
}
_ENDING = r"\.(?:jpe?g|png|bmp|webp|tiff?)(\.jpg)?"


@dataclass(frozen=True)
class NameRule:
    """How a dataset spells identity and camera in a file's name, and its folders."""

    pattern: re.Pattern[str]
    example: str
    folders: Mapping[str, str] = field(default_factory=lambda: FOLDERS)


def _rule(labels: str, example: str, **folders: Mapping[str, str]) -> NameRule:
    return NameRule(re.compile(labels + _ENDING, re.I | re.A), example, **folders)


# Some of Market-1501's own files end in .jpg.jpg; people save whole sets as PNG.
MARKET = _rule(r"(-1|\d{1,9})_c(\d{1,9})s\d+_\d+_\d+", "0002_c1s1_000451_03.jpg")
DUKE = _rule(r"(-1|\d{1,9})_c(\d{1,9})_f\d+", "0001_c2_f0046182.jpg")
CUHK03 = _rule(r"(-1|\d{1,9})_c(\d{1,9})_\d+", "0001_c1_1.png")
VERI = _rule(
    r"(\d{1,9})_c(\d{1,9})_\d+_\d+", "0001_c001_00016450_0.jpg", folders=_VERI_FOLDERS
)


def read_market(tree: Tree, rule: NameRule, *, prefix: str = "") -> Layout:
    """Entries of the three folders, ``bounding_box_train``, ``query`` and so on.

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
    starts = {f"{prefix}{folder}/": split for split, folder in rule.folders.items()}
    reasons: dict[str, str] = {}
    found = {"other files": 0, "names ending in .jpg.jpg": 0, "junk images": 0}
    for key in tree.names:
        start = next((start for start in starts if key.startswith(start)), None)
        if start is None:
            continue
        name = normal_name(key[len(start) :])
        if not is_picture(name):
            found["other files"] += 1
            reasons[key] = "no picture by its ending"
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
    for split, folder in rule.folders.items():
        if not splits[split]:
            raise InputError(
                f"{tree.where}: no images in {prefix}{folder}/; it should hold the "
                f"dataset's official folders {', '.join(rule.folders.values())}"
            )
    listed = ", ".join(rule.folders.values())
    reading = reading_of(tree, splits, reasons, otherwise=f"not in {listed}")
    return Layout(splits=splits, found=found, reading=reading)
