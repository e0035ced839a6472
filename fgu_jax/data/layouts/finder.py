"""Images by the names that tables give them."""

import re
from collections import Counter
from collections.abc import Collection

from fgu_jax.data.images import normal_name

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


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
        self._drop, self._add = "", ""

    def learn(self, images: list[str]) -> None:
        """Which folders stand before the names in the table, or are missing there."""
        if any(self.find(image) for image in images[:100]):
            return
        ends: dict[str, str] = {}
        for key in self._keys:
            base = key.rpartition("/")[2]
            ends[base] = "" if base in ends else key
        for image in images[:100]:
            name = self._spelt(image)
            parts = name.split("/")
            for k in range(1, len(parts)):
                if "/".join(parts[k:]) in self._keys:
                    self._drop = "/".join(parts[:k]) + "/"
                    return
            longer = ends.get(parts[-1], "")
            if longer.endswith("/" + name):
                self._add = longer[: -len(name)]
                return

    def find(self, image: str) -> str | None:
        """The key of an image in its tree, or ``None``."""
        raw = normal_name(image)  # a name may hold blanks or a backslash
        name = self._spelt(image)
        if raw in self._keys or name in self._keys:
            return self._keys.get(raw) or self._keys[name]
        if self._drop and name.startswith(self._drop):
            name = name[len(self._drop) :]
        elif _ABSOLUTE.match(name):  # of another computer, or among relative ones
            parts = name.split("/")
            ends = ("/".join(parts[k:]) for k in range(1, len(parts)))
            return next(filter(None, map(self._key, ends)), None)
        return self._key(self._add + name)

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
        name = normal_name(image.strip().replace("\\", "/"))
        while name.startswith("./"):
            name = name[2:]
        return name
