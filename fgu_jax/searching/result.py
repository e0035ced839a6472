"""What a search leaves: matches as JSON and CSV, a page with pictures, a printed table.

The pictures are files beside the page and not part of it: a page that carried 20,000 of
them would be tens of megabytes long, and a browser would have to read them all before
it showed one.
"""

import contextlib
import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fgu_jax.data.decode import UnreadableImage
from fgu_jax.data.images import FolderSource, default_threads
from fgu_jax.data.thumbnail import EMPTY, thumbnail
from fgu_jax.errors import InputError
from fgu_jax.files import check_folder_name, check_place, whole_folder
from fgu_jax.messages import counted, printable
from fgu_jax.progress import Progress
from fgu_jax.searching.features import Embedded
from fgu_jax.searching.match import Matches
from fgu_jax.searching.page import THUMBNAILS, Grey, render, thumbnail_name

_MADE_BY_US = ("matches.json", "matches.csv", "index.html", THUMBNAILS)
_MEND = "name another output or free some space"
COLUMNS = ("query", "rank", "image", "distance", "same_file")


def check_result_folder(
    output: Path, *, overwrite: bool, apart_from: tuple[Path, ...]
) -> None:
    """Refuses, before any work is done, a place where the result must not lie.

    Args:
      output: where the result shall lie.
      overwrite: whether an older result there gives way, at the end.
      apart_from: folders and files that are searched: the result must not lie in them,
        where the next search would find its thumbnails, nor they in it.

    Raises:
      InputError: it exists, ends as a file does, is no result of a search, overlaps
        what is searched, or cannot be written.
    """
    check_folder_name(output)
    for other in apart_from:
        a, b = output.resolve(), other.resolve()
        if a == b or b in a.parents or a in b.parents:
            raise InputError(
                f"output {str(output)!r} and {str(other)!r} lie in one another: name "
                "an output elsewhere"
            )
    if output.exists() or output.is_symlink():
        if not overwrite:
            raise InputError(
                f"output {str(output)!r} exists: name another, or add --overwrite"
            )
        _check_replaceable(output)
    check_place(output, _MEND)


@contextlib.contextmanager
def result_folder(
    output: Path, *, overwrite: bool, apart_from: tuple[Path, ...]
) -> Iterator[Path]:
    """A folder to fill, which becomes ``output`` when all went well.

    It is for the writing alone, as whatever the disk refuses within is told of it.
    Arguments and errors as of ``check_result_folder``.
    """
    check_result_folder(output, overwrite=overwrite, apart_from=apart_from)
    with whole_folder(output, mend=_MEND) as folder:
        yield folder


def _check_replaceable(output: Path) -> None:
    """Only what a search has made is ever removed."""
    try:
        found = {entry.name for entry in output.iterdir()}
    except OSError as error:
        raise InputError(
            f"output {str(output)!r} is not a folder that can be replaced: "
            f"{error.strerror or error}"
        ) from error
    if output.is_symlink() or not found <= set(_MADE_BY_US):
        raise InputError(
            f"output {str(output)!r} holds more than a search's result: name another"
        )


def write_result(
    folder: Path,
    matches: Matches,
    *,
    network: str,
    shape: tuple[int, int],
    progress: Progress | None = None,
) -> list[Grey]:
    """Writes the result of a search.

    An image that cannot be read any more keeps its place in the ranking, and its
    thumbnail is grey.

    Args:
      folder: an empty one.
      matches: the result.
      network: what the page and the JSON call the network.
      shape: height and width of the page's pictures, in any unit.
      progress: called with thumbnails done, how many there are, and what is done.

    Returns:
      The images whose thumbnails are grey.
    """
    queries = range(len(matches.query.names))
    shown = sorted({row for i in queries for row, _ in matches.of(i)})
    (folder / THUMBNAILS).mkdir()
    sources = {
        digest: (what, part.root, part.names[row])
        for what, part, rows in (
            ("gallery", matches.gallery, shown),
            ("query", matches.query, queries),
        )
        for row in rows
        for digest in (part.digests[row],)
    }
    grey = _write_thumbnails(folder / THUMBNAILS, sources, progress)
    found = as_record(matches, network, grey)
    record = json.dumps(found, indent=1, allow_nan=False)
    (folder / "matches.json").write_text(record + "\n", encoding="ascii")
    _write_table(folder / "matches.csv", matches)
    page = render(matches, network=network, shape=shape, grey=grey)
    (folder / "index.html").write_text(page, encoding="utf-8")
    return grey


def as_record(matches: Matches, network: str, grey: Sequence[Grey] = ()) -> dict:
    """The object of ``matches.json``.

    Bytes of a name that are not UTF-8 stand as lone surrogates (``\\udc80`` and so on),
    which Python's ``json`` and ``os.fsencode`` turn into the name again.
    """

    def unreadable(part: Embedded) -> list[dict]:
        return [{"image": n, "reason": why} for n, why in part.unreadable.items()]

    return {
        "network": network,
        "query_folder": str(matches.query.root),
        "gallery_folder": str(matches.gallery.root),
        "distance": "Euclidean, of unit features: 0 to 2",
        "max_distance": matches.max_distance,
        "queries": [
            {
                "image": name,
                "matches": [
                    {
                        "rank": place,
                        "image": matches.gallery.names[row],
                        "distance": round(float(distance), 6),
                        "same_file": matches.same_file(i, row),
                    }
                    for place, (row, distance) in enumerate(matches.of(i), 1)
                ],
            }
            for i, name in enumerate(matches.query.names)
        ],
        "unreadable_queries": unreadable(matches.query),
        "unreadable_gallery": unreadable(matches.gallery),
        "grey": [image._asdict() for image in grey],
        "query_reading": matches.query.reading.record(),
        "gallery_reading": matches.gallery.reading.record(),
    }


def _write_table(path: Path, matches: Matches) -> None:
    """A row a match; of a query without one its name and nothing else."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i, name in enumerate(matches.query.names):
            found = matches.of(i)
            if not found:
                writer.writerow([name, "", "", "", ""])
            for place, (row, distance) in enumerate(found, 1):
                same = "yes" if matches.same_file(i, row) else "no"
                image = matches.gallery.names[row]
                writer.writerow([name, place, image, f"{distance:.6f}", same])


def _write_thumbnails(
    folder: Path,
    sources: dict[bytes, tuple[str, Path, str]],
    progress: Progress | None,
) -> list[Grey]:
    """A thumbnail of each image by its digest; those that are grey, and why."""

    def write(item: tuple[bytes, tuple[str, Path, str]]) -> Grey | None:
        digest, (what, root, name) = item
        try:
            small, grey = thumbnail(_read_again(root, name, digest)), None
        except (InputError, OSError) as error:  # of the image; not yet of the output
            reason = getattr(error, "strerror", None) or str(error)
            small, grey = EMPTY, Grey(what, name, reason)
        (folder / thumbnail_name(digest)).write_bytes(small)
        return grey

    found = []
    with ThreadPoolExecutor(default_threads()) as pool:
        for done, grey in enumerate(pool.map(write, sources.items()), 1):
            if grey is not None:
                found.append(grey)
            if progress is not None:
                progress(done, len(sources), "thumbnails")
    return found


def _read_again(root: Path, name: str, digest: bytes) -> bytes:
    """The bytes whose feature was compared; those of another picture are refused."""
    data = FolderSource(root).read(name)
    if hashlib.sha256(data).digest() != digest:
        raise UnreadableImage("changed since it was compared")
    return data


QUERIES = 10
FIRST = 3
_NAMED = 10


def print_matches(console: Console, matches: Matches) -> None:
    """Prints what was read and what was not, and the ranking."""
    for what, part in (("query", matches.query), ("gallery", matches.gallery)):
        for line in part.reading.lines():
            console.print(line, markup=False)
        _print_unreadable(console, what, part)
    many = len(matches.query.names) > 1
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("query", overflow="fold")
    table.add_column("rank", justify="right")
    table.add_column("distance", justify="right")
    table.add_column("image", overflow="fold")
    for i, name in enumerate(matches.query.names[:QUERIES]):
        found = matches.of(i)
        if not found:
            table.add_row(Text(printable(name)), "", "", Text("no match"))
        for place, (row, distance) in enumerate(found, 1):
            if many and place > FIRST:
                break
            note = " (the same file)" if matches.same_file(i, row) else ""
            table.add_row(
                Text(printable(name) if place == 1 else ""),
                str(place),
                f"{distance:.3f}",
                Text(printable(matches.gallery.names[row]) + note),
            )
    console.print(table)
    if (rest := len(matches.query.names) - QUERIES) > 0:
        console.print(f"and {rest:,} more queries in matches.json")


def print_grey(console: Console, grey: Sequence[Grey]) -> None:
    """Prints how many thumbnails are grey, and why; nothing where none is."""
    if not grey:
        return
    console.print(
        f"{counted(len(grey), 'image')} could not be read any more, grey on the page:"
    )
    for what, name, reason in grey[:_NAMED]:
        console.print(Text(f"  {what}: {printable(name)}: {reason}"))
    if len(grey) > _NAMED:
        console.print(f"  and {len(grey) - _NAMED:,} more, all in matches.json")


def _print_unreadable(console: Console, what: str, part: Embedded) -> None:
    bad = part.unreadable
    if not bad:
        return
    total = len(part.names) + len(bad)
    console.print(
        f"{len(bad)} of {total} {what} images cannot be read and are left out:"
    )
    for name, reason in list(bad.items())[:_NAMED]:
        console.print(Text(f"  {printable(name)}: {reason}"))
    if len(bad) > _NAMED:
        console.print(f"  and {len(bad) - _NAMED} more, all in matches.json")
