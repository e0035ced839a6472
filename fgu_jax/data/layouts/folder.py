"""Any tree of images: labels from a pattern, from a CSV, or none."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fgu_jax.data.decode import is_picture
from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.market import DUKE, MARKET
from fgu_jax.data.layouts.tree import DISTRACTOR, Entry, Layout, Tree
from fgu_jax.errors import InputError
from fgu_jax.retrieval.protocol import UNKNOWN

GROUPS = ("identity", "camera", "split")
SPLITS = ("train", "query", "gallery")
_INT32 = 2**31


@dataclass(frozen=True)
class _Found:
    key: str
    identity: str | None
    camera: str | None
    split: str


def read_folder(
    tree: Tree, *, pattern: str | None = None, table: str | None = None
) -> Layout:
    """Entries of a tree of images, with labels as strings of any kind.

    Args:
      tree: the folder or archive.
      pattern: a glob with groups, ``{identity}_c{camera}*.jpg``. ``*`` is any part of
        a name, ``**`` any folders, ``?`` one character; ``{identity}``, ``{camera}``
        and ``{split}`` (train, query or gallery) are as many digits as there are, else
        as few other characters as fit. Without ``/`` it is matched against the file's
        name in any folder, else against the whole path. Pictures that do not match
        are counted and left.
      table: text of a CSV with the columns image, and any of identity, camera, split.

    Identities become numbers from 1 in sorted order, but for those of Market-1501 that
    are nobody's: -1 stays -1 under any name, and 0000 is 0, a distractor, in a file
    named as Market-1501's or Duke's are. A train row of a CSV may have no identity: it
    is -1 where others have one. Cameras keep their numbers, or
    are numbered from 1 in sorted order where one is not a number.

    Raises:
      InputError: nothing matches, a malformed pattern or CSV, an image that is missing
        or named twice.
    """
    pictures = [key for key in tree.names if is_picture(key)]
    if not pictures:
        raise InputError(f"{tree.where}: no images in it")
    if pattern is not None and table is not None:
        raise InputError("a pattern and a CSV are both given: give one of them")
    if pattern is not None:
        rows = _by_pattern(tree, pictures, pattern)
    elif table is not None:
        rows = _by_table(tree, pictures, table)
    else:
        rows = [_Found(key, None, None, "train") for key in pictures]
    return _number(tree, rows, len(tree.names) - len(pictures), len(pictures))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A glob with named groups, as a regular expression.

    >>> rule = compile_pattern("{identity}_c{camera}*.jpg")
    >>> rule.fullmatch("0002_c12s1_000451_03.jpg").groupdict()
    {'identity': '0002', 'camera': '12'}
    """
    out, seen = [], set()
    tokens = re.findall(r"\*\*/|\*+|\?|\{[^{}]*\}|.", pattern, re.S)
    for token in tokens:
        group = token[1:-1]
        if token == "**/":
            out.append(r"(?:[^/]+/)*")
        elif token.startswith("*"):
            out.append(".*" if len(token) > 1 else "[^/]*")
        elif token == "?":
            out.append("[^/]")
        elif len(token) > 1 and group in GROUPS and group not in seen:
            seen.add(group)
            out.append(rf"(?P<{group}>[0-9]+|[^/]+?)")
        elif token in "{}" or len(token) > 1:
            raise InputError(
                f"pattern {pattern!r}: {token!r} is not understood; the groups are "
                "{identity}, {camera} and {split}, each at most once"
            )
        else:
            out.append(re.escape(token))
    if "identity" not in seen and seen:
        raise InputError(f"pattern {pattern!r} has no {{identity}}: add one")
    return re.compile("".join(out), re.S)


def _by_pattern(tree: Tree, pictures: list[str], pattern: str) -> list[_Found]:
    rule = compile_pattern(normal_name(pattern))
    rows = []
    for key in pictures:
        path = normal_name(key)
        match = rule.fullmatch(path if "/" in pattern else path.rpartition("/")[2])
        if match is not None:
            groups = match.groupdict()
            split = groups.get("split") or "train"
            if split not in SPLITS:
                raise InputError(
                    f"{tree.where}: {key!r} has split {split!r}; it is one of "
                    f"{', '.join(SPLITS)}"
                )
            rows.append(
                _Found(key, groups.get("identity"), groups.get("camera"), split)
            )
    if not rows:
        raise InputError(
            f"{tree.where}: pattern {pattern!r} matches none of {len(pictures)} "
            f"images, such as {min(pictures)!r}"
        )
    return rows


def _by_table(tree: Tree, pictures: list[str], table: str) -> list[_Found]:
    reader = csv.DictReader(io.StringIO(table, newline=""), strict=True)
    try:
        columns = reader.fieldnames or []
        if "image" not in columns:
            raise InputError(
                f"the CSV has columns {', '.join(columns) or '(none)'}: it needs "
                "image, and may have identity, camera, split"
            )
        lines = [(reader.line_num, line) for line in reader]
    except csv.Error as error:
        raise InputError(f"the CSV, line {reader.line_num}: {error}") from error
    keys = {normal_name(key): key for key in pictures}
    rows, seen = [], set()
    for number, line in lines:
        image = normal_name((line["image"] or "").replace("\\", "/"))
        if image not in keys:
            raise InputError(
                f"the CSV, line {number}: image {image!r} is not in {tree.where}; "
                "paths are relative to it"
            )
        if image in seen:
            raise InputError(f"the CSV, line {number}: image {image!r} comes twice")
        seen.add(image)
        wanted = [column for column in GROUPS if column in columns]
        values = {column: (line[column] or "").strip() for column in wanted}
        split = values.get("split", "train")
        # Nobody needs to know who is on the images of training.
        unlabelled = split == "train" and line.get("identity") is not None
        unlabelled &= not values.get("identity")
        for column in wanted:
            if not values[column] and not (unlabelled and column != "split"):
                raise InputError(f"the CSV, line {number}: no {column} for {image!r}")
        if split not in SPLITS:
            raise InputError(
                f"the CSV, line {number}: split {split!r} is not one of "
                f"{', '.join(SPLITS)}"
            )
        rows.append(
            _Found(
                keys[image],
                values.get("identity") or None,
                values.get("camera") or None,
                split,
            )
        )
    if not rows:
        raise InputError("the CSV lists no images")
    return rows


def _number(tree: Tree, rows: list[_Found], other: int, pictures: int) -> Layout:
    nobody = {row.key: _market_number(row) for row in rows}
    identities = _in_order(row.identity for row in rows if nobody[row.key] is None)
    labelled = any(row.identity is not None for row in rows)
    with_cameras = any(row.camera is not None for row in rows)
    cameras = _camera_numbers(row.camera for row in rows)
    splits: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    for row in rows:
        identity, camera = nobody[row.key], None
        if identity is None and labelled:
            identity = UNKNOWN if row.identity is None else identities[row.identity]
        if with_cameras:  # the camera of nobody is never asked for
            camera = 0 if row.camera is None else cameras[row.camera]
        splits[row.split].append(Entry(normal_name(row.key), row.key, identity, camera))
    names: dict[str, str] = {}
    for entry in (entry for entries in splits.values() for entry in entries):
        if entry.name in names:
            raise InputError(
                f"{tree.where}: {names[entry.name]!r} and {entry.key!r} are one name "
                "in Unicode's normal form: rename one"
            )
        names[entry.name] = str(entry.key)
    if not splits["train"]:
        raise InputError(f"{tree.where}: no images in the train split")
    if bool(splits["query"]) != bool(splits["gallery"]):
        empty = "gallery" if splits["query"] else "query"
        raise InputError(f"{tree.where}: no images in the {empty} split: give both")
    found = {"other files": other, "images not used": pictures - len(rows)}
    junk = sum(number == UNKNOWN for number in nobody.values())
    return Layout(
        splits=splits,
        found=found | ({"junk images": junk} if junk else {}),
        identity_names=tuple(identities) if identities else None,
    )


def _market_number(row: _Found) -> int | None:
    """-1 or 0 of an identity that Market-1501 gives to nobody; ``None`` for others.

    People of one's own may well be numbered from 0: only the name tells.
    """
    if row.identity == "-1":
        return UNKNOWN
    name = normal_name(row.key).rpartition("/")[2]
    match = MARKET.pattern.fullmatch(name) or DUKE.pattern.fullmatch(name)
    if match is None or row.identity is None or int(match[1]) != 0:
        return None
    return DISTRACTOR if re.fullmatch("0+", row.identity) else None


def _in_order(values: Iterable[str | None]) -> dict[str, int]:
    distinct = sorted({value for value in values if value is not None})
    return {value: i for i, value in enumerate(distinct, 1)}


def _camera_numbers(values: Iterable[str | None]) -> dict[str, int]:
    distinct = {value for value in values if value is not None}
    if all(re.fullmatch(r"[0-9]{1,10}", v) and int(v) < _INT32 for v in distinct):
        return {value: int(value) for value in distinct}
    return _in_order(distinct)
