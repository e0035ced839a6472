"""A person's answers: pairs of images that show the same individual, or do not."""

import csv
import io
from pathlib import Path

import numpy as np

from fgu_jax.clustering.links import joined
from fgu_jax.errors import InputError
from fgu_jax.messages import did_you_mean, short, unknown

COLUMNS = ("image", "other", "same")
_WORDS = {"yes": True, "true": True, "1": True, "same": True}
_WORDS |= {"no": False, "false": False, "0": False, "different": False}

Rows = list[tuple[int, int]]


def read_answers(path: str | Path | None, names: tuple[str, ...]) -> tuple[Rows, Rows]:
    """Pairs of rows that are kept together, and pairs that are kept apart.

    Args:
      path: a CSV with ``COLUMNS``: two images by name, and yes or no; ``None``: none.
      names: [N], of the images that are clustered.

    Raises:
      InputError: a file that cannot be read, an image that is not there, a word that
        is neither yes nor no, answers that contradict each other.
    """
    if path is None:
        return [], []
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}: its first line is image,other,same"
        )
    row_of = {name: row for row, name in enumerate(names)}
    pairs: dict[bool, Rows] = {True: [], False: []}
    for line in reader:
        where = f"{path}, line {reader.line_num}"
        for column in COLUMNS[:2]:
            if line[column] not in row_of:
                near = did_you_mean(
                    line[column], names, otherwise="names are as in clusters.csv"
                )
                raise InputError(f"{where}: no image {short(line[column])}: {near}")
        word = (line["same"] or "").strip().lower()
        if word not in _WORDS:
            raise InputError(f"{where}: {unknown('answer', word, ('yes', 'no'))}")
        pairs[_WORDS[word]].append((row_of[line["image"]], row_of[line["other"]]))
    _refuse_contradictions(Path(path), pairs[True], pairs[False], names)
    return pairs[True], pairs[False]


def _refuse_contradictions(
    path: Path, same: Rows, apart: Rows, names: tuple[str, ...]
) -> None:
    together = np.array(same, np.int64).reshape(-1, 2)
    group = joined(len(names), together[:, 0], together[:, 1])
    against = [(i, j) for i, j in apart if group[i] == group[j]]
    if against:
        i, j = against[0]
        more = f" (and {len(against) - 1} more pairs)" if len(against) > 1 else ""
        raise InputError(
            f"{path} keeps {short(names[i])} and {short(names[j])} apart{more}, and "
            "its other answers make them one individual: take one of them back"
        )
