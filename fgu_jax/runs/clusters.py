"""``clusters.csv``: which cluster each image is in, and how sure that is."""

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fgu_jax.clustering import Standing
from fgu_jax.errors import InputError
from fgu_jax.files import whole_file
from fgu_jax.messages import short
from fgu_jax.runs.edited import read_edited

COLUMNS = ("image", "cluster", "confidence", "nearest_cluster")
NAME = "name"
SUGGESTED = ("suggested_identity", "new_individual")
_OWN = frozenset((*COLUMNS, NAME, *SUGGESTED))


class Table(NamedTuple):
    """What ``clusters.csv`` says.

    Attributes:
      names: [N].
      clusters: int32 [N], dense, numbered by first appearance.
      confidence: float64 [N], 0..1.
      nearest: int32 [N], of ``clusters``; -1 where there is none.
      called: [C], what the file calls each cluster.
      individuals: names of clusters, where the file has a column ``NAME``.
      notes: what else was understood, a line each.
    """

    names: tuple[str, ...]
    clusters: np.ndarray
    confidence: np.ndarray
    nearest: np.ndarray
    called: tuple[str, ...]
    individuals: Mapping[int, str]
    notes: tuple[str, ...] = ()


def read_clusters(path: Path, images: Collection[str] = ()) -> Table:
    """A ``clusters.csv``, or any table with the columns image and cluster.

    Clusters may be called anything; ``3.0``, as pandas writes a 3, is read as ``3``.
    Without the two other columns confidence is 0 and nothing is nearest. Dialects and
    encodings are those of ``read_edited``.

    Args:
      path: the table.
      images: the names that are there, as far as they are known.

    Raises:
      InputError: a file that cannot be read, has no such columns, ends within a line,
        names an image twice, gives a cluster two names or spells its number in two
        ways; whatever ``read_edited`` refuses.
    """
    mend = "give a clusters.csv of cluster.py"
    lines = read_edited(
        path, COLUMNS[:2], (*COLUMNS[2:], NAME), images=images, mend=mend
    )
    rows: dict[str, tuple[str, float, str]] = {}
    individuals: dict[str, str] = {}
    spelt: dict[str, str] = {}
    for where, line in lines:
        image, cluster = line["image"], line["cluster"]
        lacking = [c for c in COLUMNS if c in line and line[c] is None]
        if image is None or not cluster or lacking:
            missing = lacking[0] if cluster else "cluster"
            raise InputError(
                f"{where} has no {missing}: was the file cut? Write it again"
            )
        if image in rows:
            raise InputError(f"{where}: image {short(image)} comes twice")
        confidence = _confidence(line.get("confidence") or "0", where)
        whole, nearest = _whole(cluster), line.get("nearest_cluster") or ""
        if (before := spelt.setdefault(whole, cluster)) != cluster:
            raise InputError(
                f"{where}: cluster {cluster!r} is {before!r} further up: spell it once"
            )
        name = line.get(NAME) or individuals.get(whole, "")
        if name and (before := individuals.setdefault(whole, name)) != name:
            raise InputError(
                f"{where}: cluster {short(cluster)} is named {name!r}, and {before!r} "
                "further up: take one of them out"
            )
        rows[image] = (whole, confidence, _whole(nearest))
    if not rows:
        raise InputError(f"{path} holds no image: {mend}")
    called, sure_of, near = zip(*rows.values(), strict=True)
    number = {name: i for i, name in enumerate(dict.fromkeys(called))}
    return Table(
        tuple(rows),
        np.array([number[name] for name in called], np.int32),
        np.array(sure_of),
        np.array([number.get(name, -1) for name in near], np.int32),
        tuple(number),
        {number[called]: name for called, name in individuals.items()},
        _about_floats(spelt, path),
    )


def _whole(cluster: str) -> str:
    """A whole number that was saved as a float, without its point.

    >>> [_whole(cluster) for cluster in ("3.0", "-1.00", "3.5", "lynx 3.0")]
    ['3', '-1', '3.5', 'lynx 3.0']
    """
    return re.sub(r"\A(-?[0-9]+)\.0+\Z", r"\1", cluster)


def _about_floats(spelt: Mapping[str, str], path: Path) -> tuple[str, ...]:
    floats = [(read, there) for read, there in spelt.items() if read != there]
    if not floats:
        return ()
    read, there = floats[0]
    return (
        f"{len(floats):,} clusters of {path} are whole numbers saved with a point: "
        f"{there!r} is {read!r} now",
    )


def _beside_ours(names: Sequence[str]) -> tuple[str, ...]:
    """What columns are called beside ours: each once, those of other names as before.

    >>> _beside_ours(["image", "sex", "table_image"])
    ('table_table_image', 'sex', 'table_image')
    """
    taken = {*_OWN, *names}
    headers = []
    for name in names:
        header = name
        if name in _OWN:
            while header in taken:
                header = f"table_{header}"
            taken.add(header)
        headers.append(header)
    return tuple(headers)


def _confidence(text: str, where: str) -> float:
    """0 to 1; with a comma, too, as spreadsheets of some countries write it."""
    try:
        confidence = float(text.replace(",", "."))
    except ValueError:
        confidence = -1.0
    if not 0 <= confidence <= 1:
        raise InputError(f"{where}: confidence is {short(text)}: give 0 to 1")
    return confidence


def write_clusters(
    path: Path,
    names: tuple[str, ...],
    clusters: np.ndarray,
    standing: Standing,
    *,
    individuals: Mapping[int, str] | None = None,
    suggested: Mapping[int, str] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    called: Sequence[str] | None = None,
) -> None:
    """``clusters.csv``: ``COLUMNS`` and what else is known; whole, or not at all.

    Args:
      path: the file, replaced if it is there.
      names: [N]; they come out as they are, whatever bytes they hold.
      clusters: int [N].
      standing: of the images; confidence with four decimals, and the other cluster
        that is most alike, empty where there is none.
      individuals: names of clusters, a further column ``NAME`` where there are any.
      suggested: of clusters that hold images of known identities, the commonest one;
        where it is given, two further columns ``SUGGESTED``: that identity, and yes
        for images of clusters that hold nobody known.
      columns: further columns of the images, by their names, put after ours; one whose
        name is ours comes out as ``table_NAME``, or ``table_table_NAME`` where the
        first is there, and so on.
      called: [C], what clusters are called; none: by their numbers.

    Raises:
      InputError: it cannot be written.
    """
    sure = (f"{value:.4f}" for value in standing.confidence)
    said = called or [str(cluster) for cluster in range(clusters.max(initial=-1) + 1)]
    nearest = ("" if other < 0 else said[other] for other in standing.nearest)
    with (
        whole_file(path) as scratch,
        scratch.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f,
    ):
        of_image = columns or {}
        others = tuple(dict.fromkeys(name for row in of_image.values() for name in row))
        headers = _beside_ours(others)
        writer = csv.writer(f)
        named = (NAME,) if individuals else ()
        writer.writerow(
            (*COLUMNS, *named, *(() if suggested is None else SUGGESTED), *headers)
        )
        for line in zip(names, clusters.tolist(), sure, nearest, strict=True):
            image, cluster = line[:2]
            own: list[str] = [individuals.get(cluster, "")] if individuals else []
            if suggested is not None:
                new = "no" if cluster in suggested else "yes"
                own += [suggested.get(cluster, ""), new]
            row = of_image.get(image, {})
            out = (image, said[cluster], *line[2:], *own)
            writer.writerow((*out, *(row.get(name, "") for name in others)))
