"""Any tree of images: labels from a pattern, from a CSV, or none."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fgu_jax.data.images import normal_name, slashed
from fgu_jax.data.layouts.found import (
    Found,
    doubtful_tracks,
    examples,
    labels_told,
    quoted,
    told,
)
from fgu_jax.data.layouts.numbered import is_digits, numbered
from fgu_jax.data.layouts.pattern import NamePattern
from fgu_jax.data.layouts.splits import SPLITS, split_of
from fgu_jax.data.layouts.table import Box, read_rows
from fgu_jax.data.layouts.tree import (
    Entry,
    Layout,
    Tree,
    beside,
    find_pictures,
    reading_of,
)
from fgu_jax.errors import InputError

NO_MATCH = "an image that the {what} does not match"
_NOBODY = frozenset(("-1", "unknown", "unidentified", "new_whale", "new_individual"))
_NUMBER = r"[-+]?[0-9.]+(?:e[-+][0-9]+)?"
_BOX = re.compile(rf"#{_NUMBER}(?:,{_NUMBER}){{3}}$")


def read_folder(
    tree: Tree,
    *,
    pattern: str | None = None,
    table: str | None = None,
    ranked: bool = True,
) -> Layout:
    """Entries of a tree of images, with labels as strings of any kind.

    Args:
      tree: the folder or archive.
      pattern: a glob with groups, ``{identity}_c{camera}*.jpg`` (``NamePattern``).
        Without ``/`` it is matched against the file's name in any folder, else against
        the whole path. ``{split}`` takes the usual names: train, query, gallery, test,
        bounding_box_test, image_query, ... Numbers of ``{track}`` begin anew with each
        identity and camera.
      table: text of a CSV with the columns image, and any of identity, camera, track,
        split, bbox, under the names that people give them (``read_rows``). Tracks of
        two cameras are two.
      ranked: whether queries are to be ranked in a gallery, so that both must be there.

    Pictures that the pattern or the CSV does not match are images of nobody known, to
    be learnt from all the same; where it tells the splits they are left out, as they
    may be of any. The layout's ``reading`` tells of both, and of all other files.

    Identities become numbers from 1 in sorted order, but for those that are nobody's:
    -1 and unknown are -1 under any name, and of files that are named as Market-1501's,
    Duke's or MARS's are, 00-1 is -1 and 0000 is 0, a distractor. Cameras keep their
    numbers, or are numbered from 1 in sorted order where one is not a number.

    Raises:
      InputError: nothing matches, a malformed pattern or CSV, an image that is named
        twice.
    """
    pictures, reasons = find_pictures(tree)
    if not pictures:
        raise InputError(f"{tree.where}: no images in it{beside(reasons)}")
    if pattern is not None and table is not None:
        raise InputError("a pattern and a CSV are both given: give one of them")
    notes: list[str] = []
    if pattern is not None:
        what, with_splits = f"pattern {pattern!r}", "{split}" in pattern
        rows = _by_pattern(tree, pictures, pattern, notes, reasons)
    elif table is not None:
        what = "table"
        rows, with_splits = _by_table(tree, pictures, table, notes, reasons)
    else:
        what, with_splits = "", False
        rows = [Found(key, None, None, "train") for key in pictures]
    matched = {row.key for row in rows}
    rest = [key for key in pictures if key not in matched and key not in reasons]
    if rest and with_splits:
        reasons |= dict.fromkeys(rest, NO_MATCH.format(what=what))
    elif rest:
        notes.append(
            f"{len(rest):,} images that the {what} does not match are of nobody known: "
            f"learnt from, not evaluated; such as {quoted(min(rest))}"
        )
        rows += [Found(key, None, None, "train") for key in rest]
    layout = numbered(tree, rows, notes, ranked=ranked)
    found = {
        "other files": len(tree.names) - len(pictures),
        "images not matched": len(pictures) - len(matched),
    }
    reading = reading_of(
        tree,
        layout.splits,
        reasons,
        otherwise=NO_MATCH.format(what=what),
        notes=notes,
        examples=examples(rows),
    )
    return replace(layout, found=found | dict(layout.found), reading=reading)


def picture_of(name: str) -> str:
    """The name of the picture that an image of this name is, or was cut from.

    >>> picture_of("a/1.jpg#0,12,30,80.5"), picture_of("a/#1.jpg")
    ('a/1.jpg', 'a/#1.jpg')
    """
    return _BOX.sub("", name)


@dataclass(frozen=True)
class _Names:
    """Names that a list holds, in place of a tree."""

    where: str
    names: tuple[str, ...]


def read_names(
    names: Sequence[str],
    where: str,
    *,
    pattern: str | None = None,
    table: str | None = None,
) -> tuple[list[Entry | None], Layout, list[str]]:
    """What ``read_folder`` reads of images that are known by name alone.

    Args:
      names: of the images, each once.
      where: what messages call their list.
      pattern, table: as of ``read_folder``; one of them.

    Returns:
      Of each name its entry, ``None`` where nothing was read; their layout; and notes,
      a line each.

    Raises:
      InputError: nothing matches, a malformed pattern or CSV.
    """
    notes, reasons = list[str](), dict[str, str]()
    paths = _paths(names, notes)
    pictures = list(dict.fromkeys(paths if pattern else map(picture_of, paths)))
    listed = _Names(where, tuple(pictures))
    if pattern is not None:
        rows = _by_pattern(listed, pictures, pattern, notes, reasons)
    else:
        rows, _ = _by_table(listed, pictures, table or "", notes, reasons)
    layout = numbered(listed, rows, notes, ranked=False)
    entries = {e.name: e for split in layout.splits.values() for e in split}
    found = [entries.get(normal_name(path)) for path in paths]
    listed_names = set(map(normal_name, paths))
    absent = [name for name in entries if name not in listed_names]
    if absent:
        notes.append(
            f"{len(absent):,} boxes of the table have no features, such as "
            f"{quoted(absent[0])}: embed with the table (embed.py --pattern)"
        )
    left = [name for name, entry in zip(names, found, strict=True) if entry is None]
    if left:
        what = "table" if pattern is None else f"pattern {pattern!r}"
        notes.append(
            f"{len(left):,} names that the {what} does not match are of nobody known, "
            f"such as {quoted(left[0])}"
        )
    return found, layout, notes


def _paths(names: Sequence[str], notes: list[str]) -> Sequence[str]:
    """The names with ``/``, where no two become one so; that is told."""
    paths = [slashed(name) for name in names]
    turned = [name for name, path in zip(names, paths, strict=True) if name != path]
    if not turned or len(set(paths)) < len(set(names)):
        return names
    notes.append(
        f"{len(turned):,} names are read with / for \\, as of Windows, such as "
        f"{quoted(turned[0])}"
    )
    return paths


def _by_pattern(
    tree: Tree | _Names,
    pictures: list[str],
    pattern: str,
    notes: list[str],
    reasons: dict[str, str],
) -> list[Found]:
    rule = NamePattern(pattern)
    read = {key: found for key in pictures if (found := rule.read(key)) is not None}
    if not read:
        raise InputError(
            f"{tree.where}: pattern {pattern!r} matches none of {len(pictures)} "
            f"images, such as {min(pictures)!r}"
        )
    numbered = {k for k, r in read.items() if r.camera and is_digits(r.camera)}
    if "camera" in rule.groups and numbered and len(numbered) < len(read):
        others = sorted(read.keys() - numbered)
        notes.append(
            f"{len(others):,} names have no number where {{camera}} stands, as others "
            f"have: not matched; such as {quoted(others[0])}"
        )
        read = {key: found for key, found in read.items() if key in numbered}
    twofold = {k: r for k, r in read.items() if r.other is not None}
    if twofold:
        key = min(twofold)
        identity, camera = twofold[key].other or (None, None)
        notes.append(
            f"{len(twofold):,} names can be read in two ways: "
            f"{told(key, twofold[key].identity, twofold[key].camera)} (taken), or "
            f"{labels_told(identity, camera)}"
        )
    rows, splits = [], Counter[tuple[str, str]]()
    for key, found in read.items():
        split = "train" if found.split is None else split_of(found.split)
        if split is None:
            listed = ", ".join(SPLITS)
            reasons[key] = f"split {found.split!r}, which is none of {listed}"
            continue
        if found.split is not None:
            splits[found.split, split] += 1
        identity = found.identity
        if identity is not None and identity.casefold() in _NOBODY - {"-1"}:
            identity = "-1"
        track = found.track and (found.identity, found.camera, found.track)
        rows.append(Found(key, identity, found.camera, split, track or None))
    if not rows:
        key = min(read)
        raise InputError(f"{tree.where}: {key!r} has {reasons[key]}")
    notes += _splits_told(splits)
    return rows


def _splits_told(splits: Counter[tuple[str, str]]) -> list[str]:
    """What splits of other names were read as: images by (name, split)."""
    return [
        f"split {name!r} is read as {split}: {count:,} images"
        for (name, split), count in sorted(splits.items())
        if name != split
    ]


def _by_table(
    tree: Tree | _Names,
    pictures: list[str],
    text: str,
    notes: list[str],
    reasons: dict[str, str],
) -> tuple[list[Found], bool]:
    """Rows of the table, and whether it tells the splits."""
    table = read_rows(text, pictures, tree.where)
    notes += table.notes
    empty = [row.key for row in table.rows if row.box and not _has_area(row.box)]
    good = [row for row in table.rows if not (row.box and not _has_area(row.box))]
    if empty:
        notes.append(
            f"{len(empty):,} boxes have no area and are left out, such as one in "
            f"{quoted(min(empty))}"
        )
        kept = {row.key for row in good}
        reasons |= {k: "its box has no area" for k in empty if k not in kept}
    if not good:
        raise InputError(f"the CSV: none of its {len(empty)} boxes has an area")
    rows = [
        Found(
            row.key,
            row.identity,
            row.camera,
            row.split or "train",
            None if row.track is None else (row.camera, row.track),
            row.box,
            row.cells,
        )
        for row in good
    ]
    column = table.columns.get("split")
    notes += _splits_told(
        Counter((row.cells[column].strip(), row.split or "") for row in good if column)
    )
    notes += doubtful_tracks(rows)
    return rows, column is not None


def _has_area(box: Box) -> bool:
    left, top, right, bottom = box
    return right > left and bottom > top and right > 0 and bottom > 0
