"""Tables of labels: CSV in whatever dialect and encoding programs write it."""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.splits import split_of
from fgu_jax.errors import InputError
from fgu_jax.messages import nearest, printable

_DELIMITERS = ",;\t|"
_ROLES: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "path", "imagepath", "file", "filename", "filepath", "imagefile"),
        *("imagename", "img", "imgpath", "imgname", "relativepath", "imageid"),
    ),
    "identity": (
        *("identity", "individualid", "individual", "identityid", "pid", "personid"),
        *("person", "animalid", "animal", "vehicleid", "vehicle", "subjectid"),
        *("subject", "individualname", "indid"),
    ),
    "camera": (
        *("camera", "camid", "cameraid", "cam", "cameraname", "station", "position"),
        *("cameratrap", "cameratrapid", "stationid"),
    ),
    "track": (
        *("track", "trackid", "tracklet", "trackletid", "encounter", "encounterid"),
        *("burst", "burstid", "sequence", "sequenceid", "seqid", "eventid"),
    ),
    "split": ("split", "subset", "partition"),
    "bbox": ("bbox", "box", "boundingbox"),
}
# Taken only where nothing else is there, and where values come more than once.
_WEAK = {"identity": ("name", "id", "label", "class", "target")}
_CORNERS = (
    (("x", "y", "w", "h"), False),
    (("x", "y", "width", "height"), False),
    (("left", "top", "width", "height"), False),
    (("bboxx", "bboxy", "bboxw", "bboxh"), False),
    (("bboxx", "bboxy", "bboxwidth", "bboxheight"), False),
    (("xmin", "ymin", "xmax", "ymax"), True),
    (("x1", "y1", "x2", "y2"), True),
    (("left", "top", "right", "bottom"), True),
)
NOBODY = frozenset(("", "-1", "nan", "none", "null", "na", "n/a", "?", "-")) | {
    *("unknown", "unidentified", "<na>", "not identified", "no identity", "unk"),
    *("#n/a", "??", "new_whale", "new_individual", "undetermined", "undefined"),
}
"""What stands for an identity that nobody knows, in small letters."""

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


def decode_table(data: bytes) -> str:
    """Text of a table: UTF-8 or UTF-16; other bytes are kept as ``surrogateescape``.

    >>> decode_table("image;Größe".encode("utf-16"))
    'image;Größe'
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    if data[:1] == b"\0":
        return data.decode("utf-16-be", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


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
        escaped = text.encode("utf-8", "surrogateescape")
        again = escaped.decode("cp1252", "replace")
        if again == text:
            raise
        try:
            return _read(again, pictures, where)
        except InputError:
            pass
        raise


def _read(text: str, pictures: Collection[str], where: str) -> Table:
    header, lines = _parse(text)
    names = [name.strip() for name in header]
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise InputError(f"the CSV has two columns {twice[0]!r}: leave one out")
    finder = _Finder(pictures)
    columns, corners, notes = _roles(names, lines, finder)
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
    unknown: set[str] = set()
    of_nobody = 0
    for line, cells in lines:
        _check_number(line, cells, names)
        value = {role: cells[i].strip() for role, i in at.items()}
        key = finder.find(cells[at["image"]])
        if key is None:
            missing.append(f"line {line}: image {value['image']!r}")
            continue
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
        camera = value.get("camera") or None
        if "camera" in at and camera is None and identity is not None:
            raise InputError(f"the CSV, line {line}: no camera for {value['image']!r}")
        track = value.get("track")
        track = None if track is None or track.casefold() in NOBODY else track
        whole = {name: cells[i] for i, name in enumerate(names) if name}
        rows.append(Row(line, key, identity, camera, track, split, box, whole))
    if not lines:
        raise InputError("the CSV lists no images")
    if not rows:
        raise InputError(
            f"the CSV, {missing[0]} is not in {where}, nor is another of its "
            f"{len(missing)}; paths are relative to it"
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
    if any(cell.strip() for cell in cells[len(names) :]):
        raise InputError(
            f"the CSV, line {line}: it has {len(cells)} cells and the first line "
            f"{len(names)}: put quotes around what holds the delimiter"
        )


def _split(line: int, value: Mapping[str, str]) -> str | None:
    """The split that a line names; ``None`` without such a column."""
    if "split" not in value:
        return None
    if not value["split"]:
        raise InputError(f"the CSV, line {line}: no split for {value['image']!r}")
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


def _parse(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the lines that are not empty, with their numbers."""
    first = text.split("\n", 1)[0].strip().strip('"').lower()
    skip = 0
    delimiters = _DELIMITERS
    if first.startswith("sep=") and len(first) == 5:  # as Excel writes it
        delimiters, skip = first[4], 1
    best: list[str] = []
    chosen = delimiters[0]
    for delimiter in delimiters:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            header = [next(reader, []) for _ in range(skip + 1)][-1]
        except csv.Error:
            continue
        if len(header) > len(best):
            best, chosen = header, delimiter
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=chosen,
        strict=True,
        skipinitialspace=any(cell.startswith((" ", '"')) for cell in best[1:]),
    )
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise InputError(f"the CSV, line {reader.line_num}: {error}") from error
    if len(lines) <= skip:
        raise InputError("the CSV is empty: it needs a first line with a column image")
    header = lines[skip][1]
    while header and not header[-1].strip():
        header.pop()
    return header, lines[skip + 1 :]


def _listed(names: list[str], most: int = 12) -> str:
    shown = [printable(name)[:40] for name in names[:most]]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _roles(
    names: list[str], lines: list[tuple[int, list[str]]], finder: "_Finder"
) -> tuple[dict[str, str], tuple[tuple[str, ...], bool] | None, list[str]]:
    """Column names by role, the four columns of a box, and what is to be told."""
    first = next((name for name in names if finder.find(name)), None)
    if first is not None:
        raise InputError(
            f"the CSV has no line of names of columns: its first line has the image "
            f"{first!r}: put a line such as image,identity above it"
        )
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)

    def values(name: str) -> list[str]:
        at = names.index(name)
        return [cells[at].strip() for _, cells in lines if at < len(cells)]

    found: dict[str, str] = {}
    for role, known in _ROLES.items():
        there = [plain[k] for k in known if k in plain]
        if role == "image":  # image_id is a number beside path, elsewhere the file
            there.sort(key=lambda name: not any(map(finder.find, values(name)[:20])))
            if not there:
                named = (n for n in names if any(map(finder.find, values(n)[:20])))
                there = list(named)
        if there:
            found[role] = there[0]
    if "image" not in found:
        raise InputError(
            f"the CSV has columns {_listed(names) or '(none)'}: it needs image (or "
            "path, file, filename), and may have identity, camera, track, split, bbox"
        )
    notes = []
    for role, known in _WEAK.items():
        for name in (plain[k] for k in known if k in plain):
            cells = values(name)
            if role not in found and name not in found.values():
                if len(set(cells)) < len(cells):
                    found[role] = name
                else:
                    notes.append(
                        f"column {name!r} has another value in each row and is not "
                        f"taken for {role}: call it {role!r} if it is"
                    )
    read = {role: name for role, name in found.items() if name != role}
    if read:
        told = ", ".join(f"{name!r} is {role}" for role, name in read.items())
        notes.insert(0, f"columns: {told}")
    for name in names:
        near = nearest(_plain(name), found.keys() ^ _ROLES.keys(), cutoff=0.7)
        if near is not None and name not in found.values():
            notes.append(
                f"column {printable(name)!r} is not read: call it {near!r} if it is"
            )
    corners = None
    if "bbox" not in found:
        for wanted, to_corner in _CORNERS:
            if corners is None and all(side in plain for side in wanted):
                corners = (tuple(plain[side] for side in wanted), to_corner)
                notes.append(f"boxes are in columns {_listed([*corners[0]])}")
    return found, corners, notes


def _box(
    text: str | None,
    sides: list[str],
    corners: tuple[tuple[str, ...], bool] | None,
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


def _ending_folded(name: str) -> str:
    """A name whose ending is in small letters, as endings compare."""
    start, dot, ending = name.rpartition(".")
    return start + dot + ending.lower()


class _Finder:
    """Images by the names that tables give them."""

    def __init__(self, pictures: Collection[str]) -> None:
        self._keys = {normal_name(key): key for key in pictures}
        folded = Counter(map(_ending_folded, self._keys))
        self._folded = {
            _ending_folded(name): key
            for name, key in self._keys.items()
            if folded[_ending_folded(name)] == 1
        }
        self._drop, self._add = "", ""

    def learn(self, images: list[str]) -> None:
        """Which folders stand before the names in the table, or are missing there."""
        if any(self.find(image) for image in images[:100]):
            return
        ends: dict[str, str] = {}
        for key in self._keys:
            base = key.rpartition("/")[2]
            ends[base] = "" if base in ends else key
        for image in images[:100]:
            name = self._spelt(image)
            parts = name.split("/")
            for k in range(1, len(parts)):
                if "/".join(parts[k:]) in self._keys:
                    self._drop = "/".join(parts[:k]) + "/"
                    return
            longer = ends.get(parts[-1], "")
            if longer.endswith("/" + name):
                self._add = longer[: -len(name)]
                return

    def find(self, image: str) -> str | None:
        """The key of an image in its tree, or ``None``."""
        raw = normal_name(image)  # a name may hold blanks or a backslash
        name = self._spelt(image)
        if raw in self._keys or name in self._keys:
            return self._keys.get(raw) or self._keys[name]
        if self._drop and name.startswith(self._drop):
            name = name[len(self._drop) :]
        name = self._add + name
        return self._keys.get(name) or self._folded.get(_ending_folded(name))

    def _spelt(self, image: str) -> str:
        name = normal_name(image.strip().replace("\\", "/"))
        while name.startswith("./"):
            name = name[2:]
        return name
