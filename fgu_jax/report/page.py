"""The report's page: relative links only, light and dark, nothing that runs."""

import dataclasses
from html import escape
from importlib import resources

from fgu_jax.config import Config
from fgu_jax.evaluation import results
from fgu_jax.messages import printable
from fgu_jax.report.data import ReportData
from fgu_jax.report.style import DARK, LIGHT, Picture

_SECTIONS = {
    "training": "Training",
    "retrieval": "Retrieval",
    "clusters": "Clusters",
    "features": "Features",
}


Pictures = dict[str, list[Picture]]


def render(
    data: ReportData,
    *,
    protocol: str,
    pictures: Pictures,
    sizes: dict[str, tuple[int, int]],
    notes: dict[str, str],
) -> str:
    """The page as HTML; every name in it is escaped.

    Args:
      data: the run.
      protocol: how its figures were taken, in a sentence; empty where nothing says it.
      pictures: of each section.
      sizes: width and height in pixels of each picture, by its stem.
      notes: what to say in a section beside its pictures, or in place of one.
    """
    config = data.config
    what = f"{config.dataset}, {config.backbone}"
    shown = [s for s in _SECTIONS if pictures.get(s) or notes.get(s)]
    links = "".join(f'<a href="#{s}">{_SECTIONS[s]}</a>' for s in shown)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>Report: {_text(what)}</title>",
        f"<style>\n{style_sheet()}</style>",
        "</head>",
        "<body>",
        "<header>",
        f"<h1>Re-identification without labels: {_text(config.dataset)}</h1>",
        f'<p class="lead">{_text(_lead(data))}</p>',
        _facts(data.history[-1]),
        f'<nav aria-label="Sections">{links}<a href="#settings">Settings</a></nav>',
        "</header>",
        "<main>",
        _result(data, protocol),
    ]
    for name in shown:
        parts.append(_section(name, pictures.get(name, []), sizes, notes.get(name)))
    parts += [_settings(config), "</main>", "</body>", "</html>"]
    return "\n".join(parts) + "\n"


def style_sheet() -> str:
    """The page's CSS."""
    return resources.files(__package__).joinpath("page.css").read_text("utf-8")


def _lead(data: ReportData) -> str:
    config = data.config
    return (
        f"{config.backbone}, {config.image_height} x {config.image_width} pixels, "
        f"{config.num_patches} patches; start: {config.init}; "
        f"{data.labels and f'{data.labels}; '}"
        f"{len(data.images):,} training images, {data.history[-1]['epoch']} epochs, "
        f"seed {config.seed}."
    )


def _facts(last: dict) -> str:
    """The few figures of the last epoch."""
    facts = []
    if "fused_mAP" in last:
        facts.append((f"{100 * last['fused_rank1']:.1f}%", "rank-1, fused"))
        facts.append((f"{100 * last['fused_mAP']:.1f}%", "mAP, fused"))
    facts.append((f"{last['clusters']:,}", "clusters in training"))
    if "nmi" in last:
        facts.append((f"{last['purity']:.3f}", "their purity"))
        facts.append((f"{last['nmi']:.3f}", "their NMI"))
    if "loss" in last:
        facts.append((f"{last['loss']:.3f}", "loss, last epoch"))
    items = "".join(f"<li><b>{_text(v)}</b>{_text(k)}</li>" for v, k in facts)
    return f'<ul class="facts">{items}</ul>'


def _result(data: ReportData, protocol: str) -> str:
    compared = results.rows(data.history, data.labels)
    if not compared:
        return (
            '<p class="note">No query is known to have a match in a gallery, so '
            "there is nothing to evaluate.</p>"
        )
    where = results.ranked_on(data.config).capitalize()
    labels = data.labels and f"{data.labels[0].upper()}{data.labels[1:]}"
    said = ". ".join(filter(None, [where, labels, protocol]))
    head = "".join(f'<th scope="col">{title}</th>' for title, _ in results.COLUMNS)
    body = []
    for title, record, prefix in compared:
        cells = "".join(
            f"<td>{100 * record[f'{prefix}_{name}']:.1f}</td>"
            for _, name in results.COLUMNS
        )
        mark = ' class="result"' if title.endswith("the result") else ""
        body.append(f"<tr{mark}><td>{_text(title)}</td>{cells}</tr>")
    return "\n".join(
        [
            '<div class="scroll" tabindex="0" role="region" aria-label="Results">',
            f'<table><thead><tr><th scope="col">%</th>{head}</tr></thead>',
            f"<tbody>{''.join(body)}</tbody></table></div>",
            f'<p class="note">{_text(said)}. The last epoch '
            "is the result, the best one a footnote.</p>",
        ]
    )


def _section(
    name: str,
    pictures: list[Picture],
    sizes: dict[str, tuple[int, int]],
    note: str | None,
) -> str:
    parts = [f'<section id="{name}">', f"<h2>{_SECTIONS[name]}</h2>"]
    charts = [picture for picture in pictures if not picture.is_sheet]
    if charts:
        figures = (_figure(picture, sizes[picture.stem]) for picture in charts)
        parts += ['<div class="charts">', *figures, "</div>"]
    sheets = [picture for picture in pictures if picture.is_sheet]
    parts += [_figure(picture, sizes[picture.stem]) for picture in sheets]
    if note:
        parts.append(f'<p class="note">{_text(note)}</p>')
    return "\n".join([*parts, "</section>"])


def _figure(picture: Picture, size: tuple[int, int]) -> str:
    kind = "sheet" if picture.is_sheet else "chart"
    width, height = size
    image = (
        f'<picture><source srcset="{picture.file(DARK)}" '
        'media="(prefers-color-scheme: dark)">'
        f'<img src="{picture.file(LIGHT)}" width="{width}" height="{height}" '
        f'alt="{_text(picture.alt)}"></picture>'
    )
    if picture.is_sheet:
        label = _text(picture.title)
        image = (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
            f"{image}</div>"
        )
    return "\n".join(
        [
            f'<figure class="{kind}" id="{picture.stem}">',
            f"<h3>{_text(picture.title)}</h3>",
            image,
            f"<figcaption>{_text(picture.caption)}</figcaption>",
            _listing(picture),
            "</figure>",
        ]
    )


def _listing(picture: Picture) -> str:
    if not picture.listing:
        return ""
    rows = "".join(
        f"<dt>{_text(heading)}</dt>" + "".join(f"<dd>{_text(n)}</dd>" for n in names)
        for heading, names in picture.listing
    )
    return f"<details><summary>Names of these images</summary><dl>{rows}</dl></details>"


def _settings(config: Config) -> str:
    fields = "".join(
        f"<div><dt>{field}</dt><dd>{_text(str(value))}</dd></div>"
        for field, value in dataclasses.asdict(config).items()
    )
    return (
        '<section id="settings"><h2>Settings</h2><details><summary>All fields of the '
        f'configuration</summary><dl class="fields">{fields}</dl></details></section>'
    )


def _text(text: str) -> str:
    return escape(printable(text))
