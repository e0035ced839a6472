"""Retrieval figures of a trained network on a dataset, and the protocol they are by."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from fgu_jax import retrieval
from fgu_jax._version import __version__
from fgu_jax.config import Config
from fgu_jax.config.located import located
from fgu_jax.config.values import parse_value
from fgu_jax.data import Dataset, canonical_name
from fgu_jax.data.copies import find_copies
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import REPORTED, of_labels, protocol, rank
from fgu_jax.evaluation.matches import any_match, any_stranger, num_ranked, why_none
from fgu_jax.evaluation.results import COLUMNS
from fgu_jax.evaluation.tracks import ByTrack
from fgu_jax.files import whole_file
from fgu_jax.inference.embedder import Embedder
from fgu_jax.messages import command, counted
from fgu_jax.progress import Progress


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reranking:
    """Parameters of k-reciprocal re-ranking, Zhong et al., CVPR 2017."""

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3


def dataset_config(config: Config, given: Mapping[str, Any]) -> Config:
    """The run's configuration, for evaluation on its own dataset or on another.

    Another dataset takes none of what the run says of its own: no held-out identities,
    no name pattern. What limits training images limits nothing here.

    Args:
      config: of the run.
      given: fields to change; text is read as on the command line.

    Raises:
      InputError: a value that the field cannot have.
    """
    changes = {name: parse_value(name, value) for name, value in given.items()}
    name = canonical_name(changes.get("dataset", config.dataset))
    if name != canonical_name(config.dataset):
        of_it = {"holdout_identities": None, "pattern": None, "identities": "all"}
        changes = of_it | changes
    return dataclasses.replace(config, **changes, limit=None, limit_identities=None)


def file_name(run: Config, config: Config) -> str:
    """What an evaluation is written to: one file for each dataset, and each folder.

    Args:
      run: of the run.
      config: of the evaluation.

    >>> file_name(Config(), Config(dataset="duke"))
    'evaluation-duke.json'
    >>> file_name(Config(), Config(dataset="folder", data_dir="a/crops"))[:24]
    'evaluation-folder-crops-'
    """
    own, asked = located(run), located(config)
    where = [(each.dataset, each.data_dir, each.pattern) for each in (own, asked)]
    if config.dataset != "folder" or where[0] == where[1]:
        return f"evaluation-{config.dataset}.json"
    digest = hashlib.sha256(repr(where[1]).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]", "_", Path(asked.data_dir).name)[:40]
    return f"evaluation-folder-{name}-{digest}.json"


def score(
    embedder: Embedder,
    dataset: Dataset,
    *,
    average_precisions: tuple[str, ...] = ("hits",),
    reranking: Reranking | None = None,
    by_track: bool = False,
    stream: Literal["auto", "always", "never"] = "auto",
    with_labels: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Metrics of ``global``, ``local`` and ``fused``, plain and re-ranked.

    Args:
      embedder: from ``fgu_jax.load``.
      dataset: with query, gallery and their labels.
      average_precisions: ``hits``, ``trapezoid`` or both; the first is ``mAP``.
      reranking: its parameters; ``None`` leaves it out.
      by_track: tracks are ranked in place of images, each by its mean: ``ByTrack``.
      stream: decode images as needed: ``always``, ``never``, or by free memory.
      with_labels: what the network had of them, in the clause of ``runs.labels.told``.
      progress: called with (done, total, what).

    Returns:
      A JSON object: ``protocol``, ``num_queries`` (counted), ``num_skipped`` (without
      a match), ``num_gallery`` (ranked: no junk), ``copies`` (of queries, told in one
      line), ``reading`` (of the files), ``labels`` where the network had any, and
      ``rows``, one a part and way of ranking: ``part``, ``reranked``, rank1, rank5,
      rank10, mAP, mINP as fractions in 0..1, and ``mAP_trapezoid`` or ``mAP_hits``
      where that was asked for second. ``open_set`` has ``retrieval.OpenSet`` by part,
      for 1 stranger in 100 queries; nothing where no query can meet a stranger.

    Raises:
      InputError: the dataset has no labels to evaluate with, or no query has a match;
        no track is known.
    """
    if dataset.query is None or dataset.gallery is None:
        raise InputError(f"{dataset.name} has no identities: nothing can be evaluated")
    if dataset.query_labels is None or dataset.gallery_labels is None:
        raise InputError(f"{dataset.name} has no identities: nothing can be evaluated")
    labels, note = (dataset.query_labels, dataset.gallery_labels), None
    if dataset.name == "folder":  # published ones are ranked as their papers do
        *found, note = find_copies(dataset.query, labels[0], dataset.gallery, labels[1])
        labels = found[0], found[1]
    tracks = None
    if by_track:
        tracks = ByTrack((dataset.query.names, dataset.gallery.names), labels)
        labels = tracks.labels
    if not any_match(*labels):
        raise InputError(why_none(*labels))
    features = [
        embedder.of_set(images, stream=stream, progress=progress)
        for images in (dataset.query, dataset.gallery)
    ]
    rows: list[dict[str, Any]] = []
    searches: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for part in features[0]:
        query, gallery = (split[part] for split in features)
        if tracks is not None:
            query, gallery = tracks(query, gallery)
        if any_stranger(*labels):
            found_in = retrieval.open_set(query, gallery, **of_labels(*labels))
            searches[part] = found_in._asdict()
        for distances in _rankings(query, gallery, reranking, progress):
            row: dict[str, Any] = {"part": part, "reranked": distances is not None}
            for name in average_precisions:
                metrics = rank(
                    query,
                    gallery,
                    *labels,
                    average_precision=name,
                    distances=distances,
                )
                if name == average_precisions[0]:
                    row |= {key: getattr(metrics, key) for key in REPORTED}
                else:
                    row[f"mAP_{name}"] = metrics.mAP
                counts["num_queries"] = metrics.num_queries
                counts["num_skipped"] = metrics.num_skipped
            rows.append(row)
    return {
        "dataset": dataset.name,
        "protocol": protocol(labels[1], average_precisions)
        + ("; a track is ranked as one, by its mean feature" if by_track else ""),
        "by_track": by_track,
        **counts,
        "num_gallery": num_ranked(labels[1]),
        "copies": note,
        **({"labels": with_labels} if with_labels else {}),
        "reading": dataset.reading and dataset.reading.record(),
        "average_precision": list(average_precisions),
        "reranking": None if reranking is None else dataclasses.asdict(reranking),
        "rows": rows,
        "open_set": searches,
    }


def print_score(console: Console, found: dict[str, Any]) -> None:
    """Prints ``score``'s result as one table, in percent, its protocol below it."""
    other = [f"mAP_{name}" for name in found["average_precision"][1:]]
    titles = {name: title for title, name in COLUMNS}
    columns = [*REPORTED, *other]
    title = ", ".join(filter(None, [found["dataset"], found.get("labels"), "%"]))
    table = Table(title=title, title_justify="left")
    table.add_column("feature", no_wrap=True)
    for column in columns:
        table.add_column(titles.get(column, column.replace("_", " ")), justify="right")
    for row in found["rows"]:
        name = row["part"] + (", re-ranked" if row["reranked"] else "")
        table.add_row(name, *(f"{100 * row[column]:.1f}" for column in columns))
    console.print(table)
    what = "tracks" if found["by_track"] else "images"
    console.print(
        f"{counted(found['num_queries'], 'query')} counted, "
        f"{found['num_skipped']:,} without a match, "
        f"{found['num_gallery']:,} gallery {what}. {found['protocol']}.",
        markup=False,
    )
    if "fused" in found["open_set"]:
        console.print(_in_search(found["open_set"]["fused"]), markup=False)
    if found["copies"]:
        console.print(found["copies"], markup=False)


def _in_search(told: dict[str, float]) -> str:
    # Rounded down: no more strangers than are told.
    reach = np.floor(told["max_distance"] * 1e4) / 1e4
    said = (
        f"Up to a distance of {reach:.4f} (fused) {100 * told['strangers']:.1f}% of "
        f"the queries meet a stranger and {100 * told['found']:.1f}% find their own"
    )
    if told["found"] == 0:
        return f"{said}: no distance tells one from the other."
    return f"{said}: {command('search')} --max_distance={reach:.4f}."


def write_score(path: Path, found: dict[str, Any], embedder: Embedder) -> None:
    """Writes ``score``'s result as JSON, with the network's identity; replaces it.

    Raises:
      InputError: it cannot be written.
    """
    said = {
        "fgu_jax": __version__,
        "identity": embedder.identity,
        "step": embedder.step,
        **found,
    }
    with whole_file(path) as scratch:
        scratch.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _rankings(
    query: np.ndarray,
    gallery: np.ndarray,
    reranking: Reranking | None,
    progress: Progress | None,
) -> Iterator[np.ndarray | None]:
    yield None
    if reranking is not None:
        yield retrieval.rerank(
            query, gallery, **dataclasses.asdict(reranking), progress=progress
        )
