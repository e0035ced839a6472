"""``clusters.csv`` and ``answers.csv`` as people edit them, and programs save them."""

from collections.abc import Collection
from pathlib import Path

from fgu_jax.data.layouts.dialect import (
    check_no_more,
    decode_table,
    in_old_code_page,
    parse_table,
)
from fgu_jax.errors import InputError

Line = tuple[str, dict[str, str | None]]
_OF_IMAGES = ("image", "other")


def read_edited(
    path: str | Path,
    needed: Collection[str],
    more: Collection[str],
    *,
    images: Collection[str],
    mend: str,
) -> list[Line]:
    """The lines of a table that are not empty.

    Commas, semicolons, tabs or bars; UTF-8 or UTF-16. A cell of other bytes is read as
    Windows' cp1252, and the name of an image only where that image is there; blanks
    around cells go, but those of an image's name. Columns are found in any case, where
    none is spelt as it should be.

    Args:
      path: the table.
      needed: columns that it must have; image and other hold names of images.
      more: columns that are read where they are there.
      images: the names that are there, as far as they are known.
      mend: what to do about a file without a needed column.

    Returns:
      Of each line where it stands, as errors call it, and its cells by column, in the
      file's order; ``None`` where the line ends before.

    Raises:
      InputError: a file that cannot be read or is empty, a quote that stays open or
        closes lines further down, no such column or two of a name, a line with more
        cells than columns.
    """
    try:
        text = decode_table(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    header, lines = parse_table(text, str(path), needed)
    names = [cell.strip() for cell in header]
    at = _places(names, (*needed, *more), str(path))
    missing = [name for name in needed if name not in at]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}: {mend}")
    there = set(images)
    found: list[Line] = []
    for number, cells in lines:
        where = f"{path}, line {number}"
        check_no_more(cells, names, where)
        line: dict[str, str | None] = dict.fromkeys(at)
        for name, place in at.items():
            if place < len(cells):
                line[name] = _cell(name, cells[place], there, where)
        found.append((where, line))
    return found


def _places(names: list[str], known: Collection[str], where: str) -> dict[str, int]:
    """Where the known columns stand, in the file's order."""
    small = [name.lower() for name in names]
    at: dict[str, int] = {}
    for name in known:
        header = names if name in names else small
        if header.count(name) > 1:
            raise InputError(f"{where} has two columns {name!r}: leave one out")
        if name in header:
            at[name] = header.index(name)
    return dict(sorted(at.items(), key=lambda item: item[1]))


def _cell(name: str, cell: str, there: Collection[str], where: str) -> str:
    """What a cell of a column says."""
    readable = _readable(cell)
    if name in _OF_IMAGES:
        return readable if readable in there and cell not in there else cell
    readable = readable.strip()
    if {"\n", "\r"} & set(readable):
        raise InputError(
            f"{where}: its {name} begins lines before: is a quote left open there? "
            "Close it"
        )
    return readable


def _readable(cell: str) -> str:
    """A cell that is not UTF-8 as cp1252, where it is that."""
    if cell.isprintable():  # escaped bytes are not
        return cell
    try:
        cell.encode()
    except UnicodeEncodeError:
        again = in_old_code_page(cell)
        return cell if "\ufffd" in again else again
    return cell
