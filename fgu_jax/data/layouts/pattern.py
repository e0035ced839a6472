"""Name patterns: a glob with the groups {identity}, {camera}, {track} and {split}."""

import functools
import re
from typing import NamedTuple

from fgu_jax.data.images import normal_name
from fgu_jax.data.kinds import SUFFIXES
from fgu_jax.errors import InputError

GROUPS = ("identity", "camera", "track", "split")
_TOKENS = re.compile(r"\*\*/|\*+|\?|\{[^{}]*\}|.", re.S)
_DIGITS = "[0-9]+(?![0-9])"
_ENDING = re.compile(r"\.([A-Za-z0-9]+)$")


class Read(NamedTuple):
    """What a name was read as.

    Attributes:
      identity, camera, track, split: the groups; ``None`` where the pattern has none.
      other: identity and camera by another reading that fits as well, or ``None``.
    """

    identity: str | None
    camera: str | None
    track: str | None
    split: str | None
    other: tuple[str | None, str | None] | None = None


class NamePattern:
    """A glob with named groups.

    ``*`` is any part of a name, ``**`` any folders, ``?`` one character. A group is all
    digits of its place where digits stand there. A camera is digits where they can be
    had: the last that fit, after a mark with a letter such as ``_c``, else the first.
    A mark before digits may be of the other case (``_C1``).
    Anything else is as few characters as fit. ``{identity}`` may come several times:
    its parts are joined by ``/``. Endings of pictures compare without case.

    Raises:
      InputError: a group that is not known, one but ``{identity}`` twice, ``{split}``
        alone.

    >>> NamePattern("{identity}_c{camera}*.jpg").read("black_cat_c12_0.JPG")
    Read(identity='black_cat', camera='12', track=None, split=None, other=None)
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = normal_name(pattern)
        ending = _ENDING.search(self.pattern)
        known = ending is not None and ending[1].lower() in SUFFIXES
        body = self.pattern[: ending.start()] if known and ending else self.pattern
        self._ending = f"(?i:{re.escape(ending[0])})" if known and ending else ""
        self._tokens = _TOKENS.findall(body)
        seen: list[str] = []
        for token in self._tokens:
            group = token[1:-1]
            if len(token) > 1 and group in GROUPS:
                if group in seen and group != "identity":
                    raise self._not_understood(token)
                seen.append(group)
            elif token in "{}" or (token.startswith("{") and len(token) > 1):
                raise self._not_understood(token)
        if seen == ["split"]:
            raise InputError(
                f"pattern {pattern!r} has {{split}} alone: splits are for evaluation, "
                "which needs {identity}: add one"
            )
        self.groups = frozenset(seen)

    def _not_understood(self, token: str) -> InputError:
        return InputError(
            f"pattern {self.pattern!r}: {token!r} is not understood; the groups are "
            "{identity}, which may come several times, and {camera}, {track} and "
            "{split}, each at most once; * stands for anything else"
        )

    def read(self, path: str) -> Read | None:
        """What a path is read as, or ``None`` where it does not match.

        Args:
          path: relative, with ``/``. A pattern without ``/`` looks at its last part.
        """
        path = normal_name(path)
        name = path if "/" in self.pattern else path.rpartition("/")[2]
        for tier in self._tiers:
            match = tier[0].fullmatch(name)
            if match is None:
                continue
            found = _groups(match)
            for rule in tier[1:]:
                again = rule.fullmatch(name)
                other = found if again is None else _groups(again)
                if other[:2] != found[:2]:
                    return found._replace(other=other[:2])
            return found
        return None

    @functools.cached_property
    def _tiers(self) -> list[list[re.Pattern[str]]]:
        """Rules from the strictest on; within a tier the chosen one comes first."""
        late = self._last_camera
        text, wild = "[^/]+?", "[^/]*"
        exact, folded = re.S, re.S | re.I
        kinds = [(_DIGITS, _DIGITS, text, exact)]
        if "camera" in self.groups:
            of_digits = ("[^/]+" if late else text, _DIGITS, text)
            kinds += [(*of_digits, exact), (*of_digits, folded)]
            kinds += [(_DIGITS, text, text, exact)]
        tiers = [
            [self._rule(identity, camera, split, wild, flags)]
            + [
                self._rule(_as(identity, lazy), camera, split, _as(wild, lazy), flags)
                for lazy in (True, False)
            ]
            for identity, camera, split, flags in kinds
        ]
        loose = "[0-9]+|[^/]+?"
        last = [self._rule(loose, loose, loose, wild)]
        if self.groups:
            last.append(self._rule("[^/]+", loose, loose, "[^/]*?"))
        if late:  # words, where there are no digits
            last.reverse()
        return [*tiers, last]

    @property
    def _last_camera(self) -> bool:
        """Whether the mark before {camera} has a letter, as ``_c`` has."""
        if "{camera}" not in self._tokens:
            return False
        mark = ""
        for token in reversed(self._tokens[: self._tokens.index("{camera}")]):
            if len(token) > 1 or token in "*?":
                break
            mark += token
        return any(character.isalpha() for character in mark)

    def _rule(
        self, identity: str, camera: str, split: str, wild: str, flags: int = re.S
    ) -> re.Pattern:
        track = "[0-9]+(?![0-9])|[^/]+?"
        kinds = {"identity": identity, "camera": camera, "split": split, "track": track}
        out, identities = [], 0
        for token in self._tokens:
            group = token[1:-1]
            if token == "**/":
                out.append(r"(?:[^/]+/)*")
            elif token.startswith("*"):
                out.append(".*" if len(token) > 1 else wild)
            elif token == "?":
                out.append("[^/]")
            elif group in kinds:
                identities += group == "identity"
                name = f"identity{identities}" if group == "identity" else group
                out.append(f"(?P<{name}>{kinds[group]})")
            else:
                out.append(re.escape(token))
        return re.compile("".join(out) + self._ending, flags)


def _as(kind: str, lazy: bool) -> str:
    """A rule's part taken as short, or as long, as it fits; digits are as they are."""
    if kind == _DIGITS:
        return kind
    return kind.removesuffix("?") + ("?" if lazy else "")


def _groups(match: re.Match[str]) -> Read:
    found = match.groupdict()
    parts = [v for k, v in found.items() if k.startswith("identity") and v is not None]
    identity = "/".join(parts) if parts else None
    camera, track, split = (found.get(group) for group in GROUPS[1:])
    return Read(identity, camera, track, split)
