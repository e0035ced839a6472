"""Tables of labels: rows of images, by the columns that people give them."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fgu_jax.data.layouts.columns import Corners, roles_of
from fgu_jax.data.layouts.dialect import check_no_more, in_old_code_page, parse_table
from fgu_jax.data.layouts.finder import Finder, folders_told
from fgu_jax.data.layouts.splits import split_of
from fgu_jax.errors import InputError
from fgu_jax.messages import printable

NOBODY = frozenset(("", "-1", "nan", "none", "null", "na", "n/a", "?", "-")) | {
    *("unknown", "unidentified", "<na>", "not identified", "no identity", "unk"),
    *("#n/a", "??", "new_whale", "new_individual", "undetermined", "undefined"),
}
"""What stands for an identity, camera or track that nobody knows, in small letters."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One row: an image, or a box in it.

    Attributes:
      line: of the file, from 1.
      key: the image as the tree names it.
      identity: ``None``: nobody known.
      camera, track, split: ``None`` where there is no such column, or nothing in it.
      box: (left, top, right, bottom) in pixels; ``None``: the whole image.
      cells: of all its columns, as they stand there.
    """

    line: int
    key: str
    identity: str | None
    camera: str | None
    track: str | None
    split: str | None
    box: Box | None
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows whose images are there; ``columns`` by role; what else is to be told."""

    rows: tuple[Row, ...]
    columns: Mapping[str, str]
    notes: tuple[str, ...]


def read_rows(text: str, pictures: Collection[str], where: str) -> Table:
    """Rows of a table of images, by its own columns.

    The columns are known by several names each, in any case and with blanks around
    them: image (or path, file, filename, ...), and any of identity (individual_id, pid,
    name, ...), camera (camid, ...), track (encounter, ...), split, bbox (x, y, width,
    height).

    Args:
      text: the table, with commas, semicolons, tabs or bars.
      pictures: the images that are there, as their tree names them.
      where: their tree, for messages.

    Raises:
      InputError: no column of images, none of the images is there, a line that is too
        short or names an image again.
    """
    try:
        return _read(text, pictures, where)
    except InputError:
        # Bytes of an old Windows code page; names on the disk are as likely UTF-8.
        again = in_old_code_page(text)
        if again == text:
            raise
        try:
            return _read(again, pictures, where)
        except InputError:
            pass
        raise


def _read(text: str, pictures: Collection[str], where: str) -> Table:
    header, lines = parse_table(text)
    names = [name.strip() for name in header]
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InputError(f"the CSV has two columns {twice[0]!r}: leave one out")
    finder = Finder(pictures)
    columns, corners, notes = roles_of(names, lines, finder)
    at = {role: names.index(name) for role, name in columns.items()}
    sides = [names.index(name) for name in corners[0]] if corners else []
    used = {*at.values(), *sides}
    unused = [i for i, name in enumerate(names) if i not in used and name]
    if unused:
        listed = ", ".join(repr(names[i]) for i in unused)
        notes.append(f"columns that are kept and not read: {listed}")
    finder.learn([cells[at["image"]] for _, cells in lines if at["image"] < len(cells)])
    rows: list[Row] = []
    seen: dict[tuple, int] = {}
    missing: list[str] = []
    doubtful: list[str] = []
    unknown: set[str] = set()
    of_nobody = 0
    folders: Counter[str] = Counter()
    no_camera: Counter[str] = Counter()
    for line, cells in lines:
        _check_number(line, cells, names)
        value = {role: cells[i].strip() for role, i in at.items()}
        key = finder.find(cells[at["image"]])
        if key is None:
            said = f"line {line}: image {value['image']!r}"
            fitting = sorted(finder.fitting(cells[at["image"]]))
            if fitting:
                doubtful.append(f"{said} ({' and '.join(map(repr, fitting[:2]))})")
            else:
                missing.append(said)
            continue
        folders[finder.other_folder(cells[at["image"]], key)] += 1
        box = _box(value.get("bbox"), [cells[i] for i in sides], corners, line)
        if (key, box) in seen:
            raise InputError(
                f"the CSV, line {line}: image {value['image']!r} comes twice, first in "
                f"line {seen[key, box]}; only with another bbox is it another crop"
            )
        seen[key, box] = line
        identity = value.get("identity")
        if identity is not None and identity.casefold() in NOBODY:
            unknown.add(identity)
            identity, of_nobody = None, of_nobody + 1
        split = _split(line, value)
        camera = value.get("camera", "")
        if "camera" in at and camera.casefold() in NOBODY and identity is not None:
            says = f" (it says {camera!r})" if camera else ""
            raise InputError(
                f"the CSV, line {line}: no camera for {value['image']!r}{says}: fill "
                "it in, or call the column by another name, and no camera is read"
            )
        known = None if camera.casefold() in NOBODY else camera
        no_camera[camera] += known is None
        track = value.get("track")
        track = None if track is None or track.casefold() in NOBODY else track
        whole = {name: cells[i] for i, name in enumerate(names) if name}
        rows.append(Row(line, key, identity, known, track, split, box, whole))
    if not lines:
        raise InputError("the CSV lists no images")
    if not rows and doubtful:
        raise InputError(
            f"the CSV, {doubtful[0]} fits several images of {where}, as do "
            f"{len(doubtful):,} of its names: write their folders before them"
        )
    if not rows:
        raise InputError(
            f"the CSV, {missing[0]} is not in {where}, nor is another of its "
            f"{len(missing)}; paths are relative to it"
        )
    notes += folders_told(folders)
    if doubtful:
        notes.append(
            f"{len(doubtful):,} rows of the table fit several images and are not "
            f"taken, such as {doubtful[0]}: write their folders before them"
        )
    if missing:
        notes.append(
            f"{len(missing):,} rows of the table name no image that is there, such as "
            f"{missing[0]}"
        )
    if of_nobody:
        notes.append(
            f"{of_nobody:,} rows of the table are of nobody known: they have "
            f"{', '.join(repr(printable(name)) for name in sorted(unknown))}"
        )
    if said_so := {name: n for name, n in no_camera.items() if n and name}:
        notes.append(
            f"{sum(said_so.values()):,} rows of the table are of no camera known: they "
            f"have {', '.join(repr(printable(name)) for name in sorted(said_so))}"
        )
    _refuse_shares([row.box for row in rows if row.box is not None])
    return Table(tuple(rows), columns, tuple(notes))


def _check_number(line: int, cells: list[str], names: list[str]) -> None:
    """Refuses a line of fewer, or more, cells than the first line has."""
    if len(cells) < len(names):
        lacking = printable(names[len(cells)]) or "cell"
        raise InputError(
            f"the CSV, line {line}: no {lacking}: it has {len(cells)} cells and "
            f"the first line {len(names)}"
        )
    check_no_more(cells, names, f"the CSV, line {line}")


def _split(line: int, value: Mapping[str, str]) -> str | None:
    """The split that a line names; ``None`` without such a column."""
    if "split" not in value:
        return None
    if not value["split"]:
        raise InputError(
            f"the CSV, line {line}: no split for {value['image']!r}: fill it in, or "
            "call the column by another name, and all images are one set"
        )
    split = split_of(value["split"])
    if split is None:
        raise InputError(
            f"the CSV, line {line}: split {value['split']!r} is not one of "
            "train, query, gallery (or test)"
        )
    return split


def _refuse_shares(boxes: list[Box]) -> None:
    """Boxes as shares of the picture would be crops of one pixel."""
    sides = [side for box in boxes for side in box]
    if all(-1 < side <= 2 for side in sides) and any(side % 1 for side in sides):
        raise InputError(
            "the CSV's boxes are shares of the picture, as the first is "
            f"{', '.join(f'{side:g}' for side in boxes[0])} (left, top, right, "
            "bottom): give pixels"
        )


def _box(
    text: str | None,
    sides: list[str],
    corners: Corners | None,
    line: int,
) -> Box | None:
    """(left, top, right, bottom) of x, y, width, height, or of two corners."""
    if text is None and not sides:
        return None
    if text is not None:
        if text.casefold() in NOBODY or text in ("[]", "()"):
            return None
        numbers = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)
        wrong = "nan" in text.lower() or "inf" in text.lower()
    else:
        if all(side.strip().casefold() in NOBODY for side in sides):
            return None
        numbers, wrong = sides, False
    try:
        x, y, *last = (float(number) for number in numbers)
        right, bottom = last
        if not (corners and corners[1]):
            right, bottom = x + right, y + bottom
        wrong |= not all(abs(side) < 1e6 for side in (x, y, right, bottom))
    except ValueError:
        wrong = True
    if wrong:
        raise InputError(
            f"the CSV, line {line}: box {text or ', '.join(sides)!r} is not four "
            "numbers: give x, y, width, height"
        )
    return x, y, right, bottom
