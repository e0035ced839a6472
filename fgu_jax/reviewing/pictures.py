"""The pictures of a page: found by name, made small."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fgu_jax.data import ImageSet
from fgu_jax.data.images import default_threads, normal_name
from fgu_jax.data.thumbnail import taken_on, thumbnail
from fgu_jax.errors import InputError
from fgu_jax.messages import short
from fgu_jax.progress import Progress

LONGEST = 320  # pixels of a thumbnail's longer side: half of a phone, sharp
_EMPTY = (  # one grey pixel, in place of a picture that cannot be read
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xaa\xaa\xaa\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


class Shown(NamedTuple):
    """One thumbnail: its file's name, when it was taken, why it is empty."""

    file: str
    date: str
    trouble: str


def pictures(images: ImageSet, names: Sequence[str], where: str) -> ImageSet:
    """The images that ``names`` mean: by their path, else by the last part of it.

    Args:
      images: all that there are.
      names: [N], of features or of a table.
      where: what the error calls the images' folder.

    Raises:
      InputError: a name that no image has, or that several have.
    """
    row_of = {name: row for row, name in enumerate(images.names)}
    last = [name.rpartition("/")[2] for name in images.names]
    once = {name for name, count in Counter(last).items() if count == 1}
    row_of_last = {name: row for row, name in enumerate(last) if name in once}
    rows: list[int] = []
    gone: list[str] = []
    for name in names:
        path = normal_name(name.replace("\\", "/"))
        file = path.rpartition("/")[2]
        row = row_of.get(name, row_of.get(path, row_of_last.get(file)))
        if row is None:
            gone.append(name)
        else:
            rows.append(row)
    if gone:
        raise InputError(
            f"{len(gone):,} of {len(names):,} names are no image of {where}, such as "
            f"{short(gone[0])} (it holds {short(images.names[0])}, ...): name the "
            "folder that they are relative to as --images, and, where names are of "
            "boxes (#), the table of boxes as --pattern"
        )
    return images.take(rows)


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
            small, shown = _EMPTY, Shown(file, "", str(error))
        (folder / file).write_bytes(small)
        return shown

    found = []
    with ThreadPoolExecutor(default_threads()) as pool:
        for shown in pool.map(write, range(len(images))):
            found.append(shown)
            if progress is not None:
                progress(len(found), len(images), "thumbnails")
    return found
