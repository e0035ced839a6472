"""The matches on the console: all of one query, or the first few of many."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fgu_jax.searching.features import Embedded
from fgu_jax.searching.match import Matches
from fgu_jax.spelling import printable

QUERIES = 10
FIRST = 3
_NAMED = 10


def print_matches(console: Console, matches: Matches) -> None:
    """Prints the ranking, and the images that could not be read."""
    for what, part in (("query", matches.query), ("gallery", matches.gallery)):
        _print_unreadable(console, what, part)
    many = len(matches.query.names) > 1
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("query", overflow="fold")
    table.add_column("rank", justify="right")
    table.add_column("distance", justify="right")
    table.add_column("image", overflow="fold")
    for i, name in enumerate(matches.query.names[:QUERIES]):
        found = zip(matches.indices[i], matches.distances[i], strict=True)
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
    rest = len(matches.query.names) - QUERIES
    if rest > 0:
        console.print(f"and {rest:,} more queries in matches.json")


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
