"""Images by the names that tables give them."""

import re
from collections import Counter
from collections.abc import Collection, Mapping

from fgu_jax.data.images import normal_name, slashed

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_FOLDERS = 3  # that are told one by one


def _ending_folded(name: str) -> str:
    """A name whose ending is in small letters, as endings compare."""
    start, dot, ending = name.rpartition(".")
    return start + dot + ending.lower()


class Finder:
    """Images by the names that tables give them."""

    def __init__(self, pictures: Collection[str]) -> None:
        self._keys = {normal_name(key): key for key in pictures}
        folded = Counter(map(_ending_folded, self._keys))
        self._folded = {
            _ending_folded(name): key
            for name, key in self._keys.items()
            if folded[_ending_folded(name)] == 1
        }
        self._drop = ""
        self._ends: dict[int, dict[str, list[str]]] = {}

    def learn(self, images: list[str]) -> None:
        """Which folders stand before the names in the table, and not in the tree."""
        if any(self._at(image) for image in images[:100]):
            return
        for image in images[:100]:
            parts = self._spelt(image).split("/")
            for k in range(1, len(parts)):
                if "/".join(parts[k:]) in self._keys:
                    self._drop = "/".join(parts[:k]) + "/"
                    return

    def find(self, image: str) -> str | None:
        """The key of an image in its tree, or ``None``.

        A name that is no path of the tree is the image whose path alone ends with it.

        >>> Finder(["a/0.png", "a/1.png", "b/1.png"]).find("0.png")
        'a/0.png'
        >>> Finder(["a/0.png", "a/1.png", "b/1.png"]).find("1.png")
        """
        key = self._at(image)
        if key is not None:
            return key
        fitting = self.fitting(image)
        return fitting[0] if len(fitting) == 1 else None

    def fitting(self, image: str) -> list[str]:
        """Keys whose path ends with a name: as it is spelt, else but for the ending.

        >>> Finder(["a/0.png", "a/1.png", "b/1.png"]).fitting("1.PNG")
        ['a/1.png', 'b/1.png']
        """
        name = self._spelt(image)
        found = self._by_end(name.count("/") + 1).get(_ending_folded(name), [])
        exact = [own for own in found if own.endswith(name)]
        return [self._keys[own] for own in exact or found]

    def _by_end(self, parts: int) -> dict[str, list[str]]:
        """Names by so many of their last parts; those of fewer parts are not in it."""
        if parts not in self._ends:
            found: dict[str, list[str]] = {}
            for name in self._keys:
                split = name.rsplit("/", parts)
                if len(split) >= parts:
                    end = _ending_folded("/".join(split[-parts:]))
                    found.setdefault(end, []).append(name)
            self._ends[parts] = found
        return self._ends[parts]

    def _at(self, image: str) -> str | None:
        """The key of an image whose folders are those of the tree, or end with them."""
        raw = normal_name(image)  # a name may hold blanks or a backslash
        name = self._spelt(image)
        if raw in self._keys or name in self._keys:
            return self._keys.get(raw) or self._keys[name]
        if self._drop and name.startswith(self._drop):
            name = name[len(self._drop) :]
        elif _ABSOLUTE.match(name):  # of another computer, or among relative ones
            return self.inside(name)
        return self._key(name)

    def inside(self, image: str) -> str | None:
        """The key of the longest path that a name ends with, or ``None``.

        >>> Finder(["a/0.png", "0.png"]).inside("photos/a/0.png")
        'a/0.png'
        """
        parts = self._spelt(image).split("/")
        ends = ("/".join(parts[k:]) for k in range(1, len(parts)))
        return next(filter(None, map(self._key, ends)), None)

    def _key(self, name: str) -> str | None:
        return self._keys.get(name) or self._folded.get(_ending_folded(name))

    def other_folder(self, image: str, key: str) -> str:
        """How a table's name differs from its image's: the folders before either.

        >>> Finder(["a/0.png"]).other_folder("C:/ph/a/0.png", "a/0.png")
        "without 'C:/ph/'"
        """
        name, own = map(_ending_folded, (self._spelt(image), normal_name(key)))
        if name != own and name.endswith("/" + own):
            return f"without {name[: -len(own)]!r}"
        if name != own and own.endswith("/" + name):
            return f"below {own[: -len(name)]!r}"
        return ""

    def _spelt(self, image: str) -> str:
        name = normal_name(slashed(image.strip()))
        while name.startswith("./"):
            name = name[2:]
        return name


def folders_told(folders: Mapping[str, int]) -> list[str]:
    """How many paths of a table were taken in other folders: a few lines at the most.

    Args:
      folders: numbers of paths by what ``Finder.other_folder`` says of them.

    >>> folders_told({"": 7, "below 'a/'": 2})
    ["2 paths of the table are taken below 'a/'"]
    >>> folders_told({f"below '{k}/'": 2 for k in range(4)})
    ["8 paths of the table are taken below 4 folders by their ends, such as below '0/'"]
    """
    notes = []
    for kind, how in (("without", ""), ("below", " by their ends")):
        of = {told: n for told, n in folders.items() if told.startswith(kind)}
        if len(of) <= _FOLDERS:
            notes += [f"{n:,} paths of the table are taken {t}" for t, n in of.items()]
            continue
        notes.append(
            f"{sum(of.values()):,} paths of the table are taken {kind} {len(of):,} "
            f"folders{how}, such as {min(of)}"
        )
    return notes
