"""Columns of a table of images: which is which, by the names that people give."""

import re

from fgu_jax.data.layouts.finder import Finder
from fgu_jax.errors import InputError
from fgu_jax.messages import nearest, printable

Corners = tuple[tuple[str, ...], bool]
"""Four columns of a box, and whether they are two corners."""

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


def _listed(names: list[str], most: int = 12) -> str:
    shown = [printable(name)[:40] for name in names[:most]]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def roles_of(
    names: list[str], lines: list[tuple[int, list[str]]], finder: Finder
) -> tuple[dict[str, str], Corners | None, list[str]]:
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
    for role in ("split", "camera"):
        if role in found and not any(values(found[role])):
            notes.append(f"column {found.pop(role)!r} is empty and not read")
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
