"""A person's answers: who is on two images the same individual, and who is named.

``answers.csv`` has the columns image, other, same and, where somebody is named, name. A
line is a pair (same is yes or no), or a name alone (other and same are empty), or both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fgu_jax.clustering.links import joined
from fgu_jax.errors import InputError
from fgu_jax.messages import did_you_mean, short, unknown
from fgu_jax.runs.edited import read_edited

COLUMNS = ("image", "other", "same")
NAME = "name"
_WORDS = {"yes": True, "true": True, "1": True, "same": True}
_WORDS |= {"no": False, "false": False, "0": False, "different": False}


@dataclass(frozen=True)
class Answers:
    """What a person said of images, by row.

    Attributes:
      same, apart: int64 [P, 2], the pairs that were answered yes, and no.
      names: of some rows the individual that they show.
    """

    same: np.ndarray
    apart: np.ndarray
    names: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.same) + len(self.apart) + len(self.names)

    @property
    def must_link(self) -> np.ndarray:
        """Int64 [P, 2]: kept together, by an answer or by one name."""
        by_name: dict[str, int] = {}
        named = [(by_name.setdefault(n, row), row) for row, n in self.names.items()]
        return np.concatenate([self.same, _pairs([p for p in named if p[0] != p[1]])])

    @property
    def cannot_link(self) -> np.ndarray:
        """Int64 [P, 2]: kept apart, by an answer or by two names."""
        one = np.array(sorted({n: row for row, n in self.names.items()}.values()), int)
        first, second = np.triu_indices(len(one), 1)
        by_name = np.stack([one[first], one[second]], axis=1).astype(np.int64)
        return np.concatenate([self.apart, by_name])

    def name_of_clusters(self, labels: np.ndarray) -> dict[int, str]:
        """The names of the clusters int [N] in which somebody is named."""
        return {int(labels[row]): name for row, name in self.names.items()}


NONE = Answers(np.empty((0, 2), np.int64), np.empty((0, 2), np.int64), {})


def read_answers(path: str | Path | None, names: Sequence[str]) -> Answers:
    """The answers of a file.

    Args:
      path: a CSV with ``COLUMNS``: two images by name, and yes or no; and perhaps with
        ``NAME``, of the individual on ``image``; in any dialect of ``read_edited``;
        ``None``: no answers.
      names: [N], of the images that are clustered.

    Raises:
      InputError: a file that cannot be read, or that ends within a line; whatever
        ``read_edited`` refuses; an image that is not there; a word that is neither yes
        nor no; answers that contradict each other.
    """
    if path is None:
        return NONE
    mend = "its first line must be image,other,same"
    lines = read_edited(path, COLUMNS, (NAME,), images=names, mend=mend)
    row_of = {name: row for row, name in enumerate(names)}
    pairs: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    named: dict[int, str] = {}
    for where, line in lines:
        image, second, same = (line[column] for column in COLUMNS)
        if image is None or second is None or same is None:
            raise InputError(
                f"{where} ends after {short(_last(line))}, before image, other and "
                "same are there: the file was cut; save it again, or take the line out"
            )
        row = _row(image, row_of, where)
        name = (line.get(NAME) or "").strip()
        if name:
            _name(named, row, name, where, names)
            if not second and not same.strip():
                continue
        other = _row(second, row_of, where)
        word = same.strip().lower()
        if word not in _WORDS:
            raise InputError(f"{where}: {unknown('answer', word, ('yes', 'no'))}")
        pairs[_WORDS[word]].append((row, other))
    found = Answers(_pairs(pairs[True]), _pairs(pairs[False]), named)
    _refuse_contradictions(Path(path), found, names)
    return found


def _pairs(rows: list[tuple[int, int]]) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, 2)


def _last(line: Mapping[str, str | None]) -> str:
    return [value for value in line.values() if isinstance(value, str)][-1]


def _row(name: str, row_of: Mapping[str, int], where: str) -> int:
    if name in row_of:
        return row_of[name]
    near = did_you_mean(name, row_of, otherwise="names are as in clusters.csv")
    raise InputError(f"{where}: no image {short(name)} among {len(row_of):,}: {near}")


def _name(
    named: dict[int, str], row: int, name: str, where: str, names: Sequence[str]
) -> None:
    before = named.setdefault(row, name)
    if before != name:
        raise InputError(
            f"{where}: {short(names[row])} is named {name!r}, and {before!r} further "
            "up: take one of them out"
        )


def _refuse_contradictions(path: Path, found: Answers, names: Sequence[str]) -> None:
    must = found.must_link
    group = joined(len(names), must[:, 0], must[:, 1])
    apart = found.apart
    against = apart[group[apart[:, 0]] == group[apart[:, 1]]]
    if len(against):
        i, j = against[0]
        more = f" (and {len(against) - 1} more pairs)" if len(against) > 1 else ""
        raise InputError(
            f"{path} keeps {short(names[i])} and {short(names[j])} apart{more}, and "
            "its other answers make them one individual: take one of them back"
        )
    of: dict[int, int] = {}
    for row, name in found.names.items():
        first = of.setdefault(int(group[row]), row)
        if found.names[first] != name:
            raise InputError(
                f"{path} names {short(names[first])} {found.names[first]!r} and "
                f"{short(names[row])} {name!r}, and its other answers make them one "
                "individual: take one of them back"
            )
