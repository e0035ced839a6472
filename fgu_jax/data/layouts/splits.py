"""The names that datasets and people give to the three splits."""

import re

SPLITS = ("train", "query", "gallery")
_NAMES = {
    "train": ("train", "training", "trainval", "val", "valid", "validation", "dev"),
    "query": ("query", "queries", "probe"),
    "gallery": ("gallery", "test", "testing", "database"),
}
_SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}
# What stands around them: image_train, bounding_box_test, bbox_train, test_query.
_AROUND = re.compile(
    r"image|images|img|imgs|bounding|box|bbox|set|split|mask|masked|v\d"
)


def split_of(name: str) -> str | None:
    """The split that a name means, or ``None``.

    >>> [split_of(n) for n in ("bounding_box_test", "image_query", "Val", "gt_bbox")]
    ['gallery', 'query', 'train', None]
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.strip().lower()) if word]
    words = [word for word in words if not _AROUND.fullmatch(word)]
    meant = [_SPLIT_OF.get(word) for word in words]
    if len(words) == 2 and meant == ["gallery", "query"]:  # test_query
        return "query"
    if len(words) == 2 and set(words) == {"test", "gallery"}:
        return "gallery"
    return meant[0] if len(words) == 1 else None
