"""What was read of one picture, and what of it may mean something else."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fgu_jax.data.images import normal_name
from fgu_jax.data.layouts.market import DUKE, MARKET
from fgu_jax.data.layouts.mars import NAME as MARS_NAME
from fgu_jax.data.layouts.table import Box
from fgu_jax.data.layouts.tree import DISTRACTOR
from fgu_jax.messages import printable
from fgu_jax.retrieval.protocol import UNKNOWN

_EXAMPLES = 3


@dataclass(frozen=True)
class Found:
    """A picture or a box in it: its key in the tree, and its labels as they are spelt.

    ``track`` is all that tells a track from others; ``cells`` are those of a table.
    """

    key: str
    identity: str | None
    camera: str | None
    split: str
    track: tuple[str | None, ...] | None = None
    box: Box | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


def published_number(row: Found) -> int | None:
    """-1 or 0 of an identity that a published set gives to nobody; else ``None``.

    People of one's own may well be numbered from 0: only the name tells.
    """
    if row.identity == "-1":
        return UNKNOWN
    name = normal_name(row.key).rpartition("/")[2]
    rules = (MARKET.pattern, DUKE.pattern, MARS_NAME)
    match = next(filter(None, (rule.fullmatch(name) for rule in rules)), None)
    if match is None or row.identity is None:
        return None
    if row.identity == match[1] == "00-1":
        return UNKNOWN
    return DISTRACTOR if re.fullmatch("0+", row.identity + match[1]) else None


def spelt_alike(names: Iterable[str]) -> list[list[str]]:
    """Those that differ in case, blanks or leading zeros alone, in groups.

    >>> spelt_alike(["1", "Fox", "01", "10", "fox "])
    [['1', '01'], ['Fox', 'fox ']]
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        plain = re.sub(r"(?<![0-9])0+(?=[0-9])", "", " ".join(name.casefold().split()))
        alike.setdefault(plain, []).append(name)
    return [group for group in alike.values() if len(group) > 1]


def doubtful(
    identities: Iterable[str], rows: Iterable[Found], nobody: Mapping[str, int | None]
) -> list[str]:
    """Names of identities that may mean something else than was taken, a line each."""
    notes = []
    several = spelt_alike(identities)
    if several:
        notes.append(
            f"{len(several):,} identities are spelt in several ways, and each is one "
            f"of its own: {' and '.join(map(quoted, several[0]))}; spell them alike "
            "if they are one"
        )
    published = {r.identity for r in rows if nobody[r.key] is None} & {"0000", "00-1"}
    for name in sorted(filter(None, published)):
        notes.append(
            f"identity {quoted(name)} is taken for a person, as not all its files are "
            "named as Market-1501's, Duke's or MARS's are, where it is nobody"
        )
    return notes


def doubtful_cameras(numbers: Mapping[str, int]) -> list[str]:
    """Cameras that are spelt in several ways, in a line.

    Args:
      numbers: by their names; of names that are digits ``01`` and ``1`` are one.

    >>> doubtful_cameras({"01": 1, "1": 1, "2": 2})[0]
    "1 cameras are spelt in several ways and taken as one: '01' and '1'"
    """
    several = spelt_alike(sorted(numbers))
    if not several:
        return []
    one = numbers[several[0][0]] == numbers[several[0][1]]
    taken = "and taken as one" if one else "and each is one of its own"
    more = "" if one else "; spell them alike if they are one"
    return [
        f"{len(several):,} cameras are spelt in several ways {taken}: "
        f"{' and '.join(map(quoted, several[0]))}{more}"
    ]


def doubtful_tracks(rows: Iterable[Found]) -> list[str]:
    """Tracks that hold several individuals by what the table itself says, in a line."""
    held: dict[tuple[str | None, ...], set[str]] = {}
    for row in rows:
        if row.track is not None and row.identity is not None:
            held.setdefault(row.track, set()).add(row.identity)
    several = [(track, names) for track, names in held.items() if len(names) > 1]
    if not several:
        return []
    track, names = several[0]
    first, second = sorted(names)[:2]
    return [
        f"{len(several):,} tracks hold several identities, such as track "
        f"{quoted(track[-1] or '')} with {quoted(first)} and {quoted(second)}: "
        "where tracks are used they are one individual; number them apart"
    ]


def examples(rows: Sequence[Found]) -> list[str]:
    """What a few names were read as, of different identities where there are some."""
    said: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.key):
        track = None if row.track is None else row.track[-1]
        of = next(filter(None, (row.identity, track, row.camera)), None)
        if of is not None and of not in said:
            said[of] = told(row.key, row.identity, row.camera, track)
    listed = list(said.values())
    at = sorted({0, len(listed) // 2, len(listed) - 1})
    return [listed[i] for i in at[:_EXAMPLES] if 0 <= i < len(listed)]


def told(
    key: str, identity: str | None, camera: str | None, track: str | None = None
) -> str:
    """What a name was read as, for a person."""
    return f"{quoted(key)} as {labels_told(identity, camera, track)}"


def labels_told(
    identity: str | None, camera: str | None, track: str | None = None
) -> str:
    """Identity, camera and track, those that are known, for a person."""
    known = {"identity": identity, "camera": camera, "track": track}
    said = [f"{name} {quoted(of)}" for name, of in known.items() if of is not None]
    return ", ".join(said) or "nobody known"


def quoted(name: str) -> str:
    """A name in quotes that a console can show."""
    return f"'{printable(name)}'"
