"""The page of a search: one file that draws itself from data within it."""

import json
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import NamedTuple

from fgu_jax.messages import printable
from fgu_jax.searching.match import Matches

THUMBNAILS = "thumbnails"


def thumbnail_name(digest: bytes) -> str:
    """File name of a thumbnail: of its content, so that no name needs escaping."""
    return f"{digest[:16].hex()}.jpg"


class Grey(NamedTuple):
    """An image whose thumbnail is grey: whether of query or gallery, its name, why."""

    what: str
    image: str
    reason: str


def render(
    matches: Matches,
    *,
    network: str,
    shape: tuple[int, int],
    grey: Sequence[Grey] = (),
) -> str:
    """The page as HTML; names are text in it, whatever they hold.

    Args:
      matches: the result.
      grey: of ``write_thumbnails``.
      network: what the page calls the network.
      shape: height and width of the pictures' boxes, in any unit.
    """
    many = len(matches.query.names)
    title = f"{many:,} queries" if many != 1 else printable(matches.query.names[0])
    height, width = shape
    fields = {
        "title": escape(f"Search: {title}"),
        "network": escape(printable(network)),
        "gallery": escape(printable(str(matches.gallery.root))),
        "count": f"{len(matches.gallery.names):,}",
        "limit": ""
        if matches.max_distance is None
        else f" Beyond {matches.max_distance:g} nothing is a match.",
        "aspect": f"{width} / {height}",
        # No "<" is left that could end the script element or open a comment.
        "data": json.dumps(_data(matches, grey), separators=(",", ":")).replace(
            "<", "\\u003c"
        ),
    }
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], template)


def _data(matches: Matches, grey: Sequence[Grey]) -> dict:
    """What the page's script reads; a gallery image is spelt once."""
    shown: list[list[str]] = []
    place: dict[int, int] = {}
    queries = []
    for i, name in enumerate(matches.query.names):
        found = []
        for row, distance in matches.of(i):
            if row not in place:
                place[row] = len(shown)
                shown.append(
                    [
                        printable(matches.gallery.names[row]),
                        thumbnail_name(matches.gallery.digests[row]),
                    ]
                )
            same = int(matches.same_file(i, row))
            found.append([place[row], round(distance, 6), same])
        queries.append(
            [printable(name), thumbnail_name(matches.query.digests[i]), found]
        )
    unreadable = [
        [f"{what}: {printable(name)}", reason]
        for what, part in (("query", matches.query), ("gallery", matches.gallery))
        for name, reason in part.unreadable.items()
    ]
    without = [[f"{what}: {printable(name)}", why] for what, name, why in grey]
    return {
        "gallery": shown,
        "queries": queries,
        "unreadable": unreadable,
        "grey": without,
    }
