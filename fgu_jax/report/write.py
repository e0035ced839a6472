"""Writes ``report/`` whole or not at all."""

from pathlib import Path

import numpy as np

from fgu_jax.evaluation import judge
from fgu_jax.files import whole_folder
from fgu_jax.progress import Progress
from fgu_jax.report import attention, curves, groups, page, plane, queries
from fgu_jax.report.data import ReportData
from fgu_jax.report.style import DOTS, THEMES, Picture, applied
from fgu_jax.retrieval import Metrics

FOLDER = "report"


def write(
    directory: Path, data: ReportData, *, progress: Progress | None = None
) -> Path:
    """Writes the report of a run: PNG pictures, light and dark, and ``index.html``.

    Args:
      directory: the run's folder; its ``report/`` is replaced when all is written.
      data: the run.
      progress: called with pictures done, how many there are, and what is done.

    Returns:
      Path of ``index.html``.

    Raises:
      InputError: the folder cannot be written; a report that was there stays.
    """
    folder = Path(directory) / FOLDER
    mend = "free some space, or go on without one by --report=false"
    with whole_folder(folder, mend=mend) as scratch:
        _fill(scratch, data, progress)
    return folder / "index.html"


def _fill(folder: Path, data: ReportData, progress: Progress | None) -> None:
    pictures, notes = _pictures(data)
    flat = [picture for section in pictures.values() for picture in section]
    sizes = {}
    for done, picture in enumerate(flat, 1):
        for theme in THEMES:
            with applied(theme):
                figure = picture.draw(theme)
                figure.savefig(folder / picture.file(theme), dpi=DOTS)
        wide, high = figure.get_size_inches()
        sizes[picture.stem] = (round(wide * DOTS), round(high * DOTS))
        if progress is not None:
            progress(done, len(flat), "report")
    ranked = data.retrieval
    protocol = ""
    if ranked is not None:
        formula = data.config.average_precision
        protocol = judge.protocol(ranked.gallery.labels, (formula,))
    text = page.render(
        data, protocol=protocol, pictures=pictures, sizes=sizes, notes=notes
    )
    (folder / "index.html").write_text(text, encoding="utf-8")


def _pictures(data: ReportData) -> tuple[dict[str, list[Picture]], dict[str, str]]:
    """What is drawn, by section of the page, and what is said where nothing can be."""
    notes = {}
    in_retrieval: list[Picture | None] = [curves.retrieval_by_epoch(data.history)]
    if data.retrieval is not None:
        metrics = _metrics(data)
        in_retrieval.append(curves.cmc(metrics, data.history, data.labels))
        in_retrieval.append(queries.queries(data.retrieval, metrics["fused"]))
    of_clusters = [groups.largest(data)]
    if of_clusters[0] is None:
        notes["clusters"] = "Each image is a cluster of its own: nothing was merged."
    elif data.train_labels is None:
        of_clusters.append(groups.loosest(data))
    else:
        of_clusters.append(groups.mixed(data))
        if of_clusters[1] is None:
            notes["clusters"] = "No cluster holds images of two identities."
    of_clusters += [groups.alike(data), groups.nowhere(data)]
    if data.told:
        told = " ".join(f"{line[0].upper()}{line[1:]}." for line in data.told)
        notes["clusters"] = " ".join(filter(None, [notes.get("clusters"), told]))
    sections = {
        "training": [
            curves.losses(data.history, data.config),
            curves.clusters(data.history, data.config),
        ],
        "retrieval": in_retrieval,
        "clusters": of_clusters,
        "features": [attention.patch_neighbours(data), plane.plane(data)],
    }
    return {
        name: [picture for picture in section if picture is not None]
        for name, section in sections.items()
    }, notes


def _metrics(data: ReportData) -> dict[str, Metrics]:
    """Of the fused feature and its parts; that these are not unit changes no rank."""
    assert data.retrieval is not None
    if data.retrieval.metrics is not None:
        return data.retrieval.metrics
    query, gallery = data.retrieval.query, data.retrieval.gallery
    width = data.global_features.shape[1]
    parts = {
        "fused": slice(None),
        "global": slice(None, width),
        "local": slice(width, None),
    }
    return {
        name: judge.rank(
            np.ascontiguousarray(query.features[:, columns]),
            np.ascontiguousarray(gallery.features[:, columns]),
            query.labels,
            gallery.labels,
            average_precision=data.config.average_precision,
        )
        for name, columns in parts.items()
    }
