"""Any tree of images: labels from a pattern, from a CSV, or none."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.market import DUKE, MARKET
from fgu_jax.data.layouts.mars import NAME as MARS_NAME
from fgu_jax.data.layouts.pattern import NamePattern
from fgu_jax.data.layouts.splits import SPLITS, split_of
from fgu_jax.data.layouts.table import Box, read_rows
from fgu_jax.data.layouts.tree import (
    DISTRACTOR,
    Entry,
    Layout,
    Tree,
    find_pictures,
    reading_of,
)
from fgu_jax.errors import InputError
from fgu_jax.messages import printable
from fgu_jax.retrieval.protocol import UNKNOWN

NO_MATCH = "an image that the {what} does not match"
_INT32 = 2**31
_NOBODY = frozenset(("-1", "unknown", "unidentified", "new_whale", "new_individual"))
_EXAMPLES = 3
_NUMBER = r"[-+]?[0-9.]+(?:e[-+][0-9]+)?"
_BOX = re.compile(rf"#{_NUMBER}(?:,{_NUMBER}){{3}}$")


@dataclass(frozen=True)
class _Found:
    key: str
    identity: str | None
    camera: str | None
    split: str
    track: tuple[str | None, ...] | None = None
    box: Box | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


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
        others = f" beside {len(reasons):,} other files" if reasons else ""
        raise InputError(f"{tree.where}: no images in it{others}")
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
        rows = [_Found(key, None, None, "train") for key in pictures]
    matched = {row.key for row in rows}
    rest = [key for key in pictures if key not in matched and key not in reasons]
    if rest and with_splits:
        reasons |= dict.fromkeys(rest, NO_MATCH.format(what=what))
    elif rest:
        notes.append(
            f"{len(rest):,} images that the {what} does not match are of nobody known: "
            f"learnt from, not evaluated; such as {_quoted(min(rest))}"
        )
        rows += [_Found(key, None, None, "train") for key in rest]
    layout = _number(tree, rows, notes, ranked=ranked)
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
        examples=_examples(rows),
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
    pictures = list(dict.fromkeys(names if pattern else map(picture_of, names)))
    listed = _Names(where, tuple(pictures))
    notes, reasons = list[str](), dict[str, str]()
    if pattern is not None:
        rows = _by_pattern(listed, pictures, pattern, notes, reasons)
    else:
        rows, _ = _by_table(listed, pictures, table or "", notes, reasons)
    layout = _number(listed, rows, notes, ranked=False)
    entries = {e.name: e for split in layout.splits.values() for e in split}
    found = [entries.get(normal_name(name)) for name in names]
    left = [name for name, entry in zip(names, found, strict=True) if entry is None]
    if left:
        what = "table" if pattern is None else f"pattern {pattern!r}"
        notes.append(
            f"{len(left):,} names that the {what} does not match are of nobody known, "
            f"such as {_quoted(left[0])}"
        )
    return found, layout, notes


def _by_pattern(
    tree: Tree | _Names,
    pictures: list[str],
    pattern: str,
    notes: list[str],
    reasons: dict[str, str],
) -> list[_Found]:
    rule = NamePattern(pattern)
    read = {key: found for key in pictures if (found := rule.read(key)) is not None}
    if not read:
        raise InputError(
            f"{tree.where}: pattern {pattern!r} matches none of {len(pictures)} "
            f"images, such as {min(pictures)!r}"
        )
    numbered = {k for k, r in read.items() if r.camera and _is_digits(r.camera)}
    if "camera" in rule.groups and numbered and len(numbered) < len(read):
        others = sorted(read.keys() - numbered)
        notes.append(
            f"{len(others):,} names have no number where {{camera}} stands, as others "
            f"have: not matched; such as {_quoted(others[0])}"
        )
        read = {key: found for key, found in read.items() if key in numbered}
    twofold = {k: r for k, r in read.items() if r.other is not None}
    if twofold:
        key = min(twofold)
        identity, camera = twofold[key].other or (None, None)
        notes.append(
            f"{len(twofold):,} names can be read in two ways: "
            f"{_told(key, twofold[key].identity, twofold[key].camera)} (taken), or "
            f"{_labels(identity, camera)}"
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
        rows.append(_Found(key, identity, found.camera, split, track or None))
    if not rows:
        key = min(read)
        raise InputError(f"{tree.where}: {key!r} has {reasons[key]}")
    for (name, split), count in sorted(splits.items()):
        if name != split:
            notes.append(f"split {name!r} is read as {split}: {count:,} images")
    return rows


def _by_table(
    tree: Tree | _Names,
    pictures: list[str],
    text: str,
    notes: list[str],
    reasons: dict[str, str],
) -> tuple[list[_Found], bool]:
    """Rows of the table, and whether it tells the splits."""
    table = read_rows(text, pictures, tree.where)
    notes += table.notes
    empty = [row.key for row in table.rows if row.box and not _has_area(row.box)]
    good = [row for row in table.rows if not (row.box and not _has_area(row.box))]
    if empty:
        notes.append(
            f"{len(empty):,} boxes have no area and are left out, such as one in "
            f"{_quoted(min(empty))}"
        )
        kept = {row.key for row in good}
        reasons |= {k: "its box has no area" for k in empty if k not in kept}
    if not good:
        raise InputError(f"the CSV: none of its {len(empty)} boxes has an area")
    rows = [
        _Found(
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
    notes += _doubtful_tracks(rows)
    return rows, "split" in table.columns


def _number(
    tree: Tree | _Names, rows: list[_Found], notes: list[str], *, ranked: bool = True
) -> Layout:
    """The layout of the rows; where they are not ``ranked``, splits are of any kind."""
    splits: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    columns: dict[str, Mapping[str, str]] = {}
    boxes = Counter(row.key for row in rows)
    nobody = {row.key: _published_number(row) for row in rows}
    identities = _in_order(row.identity for row in rows if nobody[row.key] is None)
    labelled = any(row.identity is not None for row in rows)
    with_cameras = any(row.camera is not None for row in rows)
    cameras = _camera_numbers(row.camera for row in rows)
    distinct = dict.fromkeys(row.track for row in sorted(rows, key=lambda r: r.key))
    tracks = {track: i for i, track in enumerate(filter(None, distinct), 1)}
    for row in rows:
        identity, camera = nobody[row.key], None
        if identity is None and labelled:
            identity = UNKNOWN if row.identity is None else identities[row.identity]
        if with_cameras:  # the camera of nobody is never asked for
            camera = 0 if row.camera is None else cameras[row.camera]
        name = normal_name(row.key)
        if boxes[row.key] > 1 and row.box is not None:
            name += "#" + ",".join(f"{side:g}" for side in row.box)
        track = None if row.track is None else tracks[row.track]
        splits[row.split].append(Entry(name, row.key, identity, camera, row.box, track))
        if row.cells:
            columns[name] = row.cells
    notes += _doubtful(identities, rows, nobody)
    names: dict[str, str] = {}
    for entry in (entry for entries in splits.values() for entry in entries):
        if entry.name in names:
            raise InputError(
                f"{tree.where}: {names[entry.name]!r} and {entry.key!r} are one name "
                "in Unicode's normal form: rename one"
            )
        names[entry.name] = str(entry.key)
    if ranked and splits["query"] and not splits["gallery"]:
        raise InputError(f"{tree.where}: no images in the gallery split: give both")
    if ranked and splits["gallery"] and not splits["query"]:
        notes.append(
            "there is no query split: the first image of each identity and camera of "
            "the gallery is a query"
        )
    if not splits["train"] and not splits["gallery"]:
        raise InputError(f"{tree.where}: no images in the train split")
    junk = sum(
        entry.identity == UNKNOWN for split in splits.values() for entry in split
    )
    return Layout(
        splits=splits,
        found={"junk images": junk} if junk else {},
        identity_names=tuple(identities) if identities else None,
        columns=columns,
    )


def _has_area(box: Box) -> bool:
    left, top, right, bottom = box
    return right > left and bottom > top and right > 0 and bottom > 0


def _published_number(row: _Found) -> int | None:
    """-1 or 0 of an identity that a published set gives to nobody; else ``None``.

    People of one's own may well be numbered from 0: only the name tells.
    """
    if row.identity == "-1":
        return UNKNOWN
    name = normal_name(row.key).rpartition("/")[2]
    rules = (MARKET.pattern, DUKE.pattern, MARS_NAME)
    match = next(filter(None, (rule.fullmatch(name) for rule in rules)), None)
    if match is None or row.identity is None:
        return None
    if row.identity == match[1] == "00-1":
        return UNKNOWN
    return DISTRACTOR if re.fullmatch("0+", row.identity + match[1]) else None


def _doubtful(
    identities: Iterable[str], rows: Iterable[_Found], nobody: Mapping[str, int | None]
) -> list[str]:
    """Names of identities that may mean something else than was taken, a line each."""
    notes = []
    alike: dict[str, list[str]] = {}
    for name in identities:
        plain = re.sub(r"(?<![0-9])0+(?=[0-9])", "", " ".join(name.casefold().split()))
        alike.setdefault(plain, []).append(name)
    several = [names for names in alike.values() if len(names) > 1]
    if several:
        notes.append(
            f"{len(several):,} identities are spelt in several ways, and each is one "
            f"of its own: {' and '.join(map(_quoted, several[0]))}; spell them alike "
            "if they are one"
        )
    published = {r.identity for r in rows if nobody[r.key] is None} & {"0000", "00-1"}
    for name in sorted(filter(None, published)):
        notes.append(
            f"identity {_quoted(name)} is taken for a person, as not all its files are "
            "named as Market-1501's, Duke's or MARS's are, where it is nobody"
        )
    return notes


def _doubtful_tracks(rows: Iterable[_Found]) -> list[str]:
    """Tracks that hold several individuals by what the table itself says, in a line."""
    held: dict[tuple[str | None, ...], set[str]] = {}
    for row in rows:
        if row.track is not None and row.identity is not None:
            held.setdefault(row.track, set()).add(row.identity)
    several = [(track, names) for track, names in held.items() if len(names) > 1]
    if not several:
        return []
    track, names = several[0]
    first, second = sorted(names)[:2]
    return [
        f"{len(several):,} tracks hold several identities, such as track "
        f"{_quoted(track[-1] or '')} with {_quoted(first)} and {_quoted(second)}: "
        "where tracks are used they are one individual; number them apart"
    ]


def _examples(rows: Sequence[_Found]) -> list[str]:
    """What a few names were read as, of different identities where there are some."""
    told: dict[str | None, str] = {}
    for row in sorted(rows, key=lambda row: row.key):
        if row.identity is not None and row.identity not in told:
            told[row.identity] = _told(row.key, row.identity, row.camera)
    listed = list(told.values())
    at = sorted({0, len(listed) // 2, len(listed) - 1})
    return [listed[i] for i in at[:_EXAMPLES] if 0 <= i < len(listed)]


def _told(key: str, identity: str | None, camera: str | None) -> str:
    return f"{_quoted(key)} as {_labels(identity, camera)}"


def _labels(identity: str | None, camera: str | None) -> str:
    said = f"identity {_quoted(identity or '')}"
    return said + (f", camera {_quoted(camera)}" if camera is not None else "")


def _quoted(name: str) -> str:
    return f"'{printable(name)}'"


def _in_order(values: Iterable[str | None]) -> dict[str, int]:
    distinct = sorted({value for value in values if value is not None})
    return {value: i for i, value in enumerate(distinct, 1)}


def _is_digits(value: str) -> bool:
    return re.fullmatch(r"[0-9]{1,10}", value) is not None and int(value) < _INT32


def _camera_numbers(values: Iterable[str | None]) -> dict[str, int]:
    distinct = {value for value in values if value is not None}
    if all(map(_is_digits, distinct)):
        return {value: int(value) for value in distinct}
    return _in_order(distinct)
