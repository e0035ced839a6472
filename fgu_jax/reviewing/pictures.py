"""The pictures of a page: found by name, made small."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fgu_jax.data import ImageSet
from fgu_jax.data.images import default_threads, normal_name, slashed
from fgu_jax.data.layouts.finder import Finder
from fgu_jax.data.thumbnail import EMPTY, taken_on, thumbnail
from fgu_jax.errors import InputError
from fgu_jax.messages import short
from fgu_jax.progress import Progress

LONGEST = 320  # pixels of a thumbnail's longer side: half of a phone, sharp


class Shown(NamedTuple):
    """One thumbnail: its file's name, when it was taken, why it is empty."""

    file: str
    date: str
    trouble: str


def pictures(
    images: ImageSet, names: Sequence[str], where: str
) -> tuple[ImageSet, list[str]]:
    """The images that ``names`` mean, and what is to be told, a line each.

    A name is the image of that path, else the only one whose path ends with it, else
    the one of the longest path that it ends with: folders may stand before either, and
    folders that both state are never passed over.

    Args:
      images: all that there are.
      names: [N], of features or of a table.
      where: what the error calls the images' folder.

    Raises:
      InputError: a name that no image has, or that several have; two names of one.
    """
    finder = Finder(images.names)
    found = [finder.find(name) or finder.inside(name) for name in names]
    gone = [name for name, own in zip(names, found, strict=True) if own is None]
    if gone:
        raise InputError(
            f"{len(gone):,} of {len(names):,} names are no image of {where}, such as "
            f"{short(gone[0])} (it holds {short(images.names[0])}, ...): name the "
            "folder that they are relative to as --images, and, where names are of "
            "boxes (#), the table of boxes as --pattern"
        )
    by_end: list[tuple[str, str]] = []
    name_of: dict[str, str] = {}
    for name, own in zip(names, filter(None, found), strict=True):
        if own in name_of:
            raise InputError(
                f"{short(name_of[own])} and {short(name)} would both be {short(own)} "
                f"of {where}: name the folder that they are relative to as --images"
            )
        name_of[own] = name
        if normal_name(slashed(name)) != own:
            by_end.append((name, own))
    told = [
        f"{len(by_end):,} of {len(names):,} names are taken by the end of their path, "
        f"such as {short(name)} for {short(own)}"
        for name, own in by_end[:1]
    ]
    row_of = {name: row for row, name in enumerate(images.names)}
    return images.take([row_of[own] for own in name_of]), told


def write_thumbnails(
    folder: Path, images: ImageSet, progress: Progress | None
) -> list[Shown]:
    """A JPEG of each image; one that cannot be read is grey, and told.

    Args:
      folder: an empty one.
      images: [N].
      progress: called with (done, total, what).
    """

    def write(row: int) -> Shown:
        file = f"{row:06d}.jpg"
        try:
            data = images.read(row)
            small = thumbnail(data, box=images.box(row), longest=LONGEST)
            shown = Shown(file, taken_on(data), "")
        except InputError as error:
            small, shown = EMPTY, Shown(file, "", str(error))
        (folder / file).write_bytes(small)
        return shown

    found = []
    with ThreadPoolExecutor(default_threads()) as pool:
        for shown in pool.map(write, range(len(images))):
            found.append(shown)
            if progress is not None:
                progress(len(found), len(images), "thumbnails")
    return found
