"""Lines of a CSV in whatever dialect and encoding programs write it."""

import csv
import io
from collections.abc import Collection

from fgu_jax.errors import InputError

_DELIMITERS = ",;\t|"


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


def in_old_code_page(text: str) -> str:
    r"""Text of ``decode_table``, its bytes read as those of Windows' cp1252.

    >>> in_old_code_page("caf\udce9")
    'café'
    """
    return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def parse_table(
    text: str, where: str = "the CSV", wanted: Collection[str] = ()
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the lines that are not empty, with their numbers in the file.

    Args:
      text: cells between commas, semicolons, tabs or bars: those that make the most
        columns of the first line.
      where: what errors call the table.
      wanted: columns, in small letters; a delimiter that gives them all goes first.

    Raises:
      InputError: nothing in it, quotes that do not close or do not end a cell, a cell
        of more than 131,072 characters.
    """
    first = text.split("\n", 1)[0].strip().strip('"').lower()
    skip = 0
    delimiters = _DELIMITERS
    if first.startswith("sep=") and len(first) == 5:  # as Excel writes it
        delimiters, skip = first[4], 1
    best: list[str] = []
    chosen, most = delimiters[0], (False, 0)
    for delimiter in delimiters:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            header = [next(reader, []) for _ in range(skip + 1)][-1]
        except csv.Error:
            continue
        all_there = {cell.strip().lower() for cell in header}.issuperset(wanted)
        if (all_there, len(header)) > most:
            best, chosen, most = header, delimiter, (all_there, len(header))
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=chosen,
        strict=True,
        skipinitialspace=any(cell.startswith((" ", '"')) for cell in best[1:]),
    )
    lines: list[tuple[int, list[str]]] = []
    begun = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((reader.line_num, cells))
            begun = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{where}, line {begun}: {error}: is a quote left open there? Close it, "
            "and write one that belongs to a cell twice"
        ) from error
    if len(lines) <= skip:
        raise InputError(f"{where} is empty: it needs a first line with a column image")
    header = lines[skip][1]
    while header and not header[-1].strip():
        header.pop()
    return header, lines[skip + 1 :]


def check_no_more(cells: list[str], header: list[str], where: str) -> None:
    """Refuses a line that goes on behind the last column."""
    if any(cell.strip() for cell in cells[len(header) :]):
        raise InputError(
            f"{where}: it has {len(cells)} cells and the first line {len(header)}: put "
            "quotes around what holds the delimiter"
        )
