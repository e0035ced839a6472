"""The report's page: relative links only, light and dark, nothing that runs."""

import dataclasses
from html import escape
from importlib import resources

from fgu_jax.config import Config
from fgu_jax.evaluation.results import COLUMNS
from fgu_jax.evaluation.results import rows as summary_rows
from fgu_jax.messages import printable
from fgu_jax.report.style import DARK, LIGHT, Picture

_SECTIONS = {
    "training": "Training",
    "retrieval": "Retrieval",
    "clusters": "Clusters",
    "features": "Features",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """What the page says: the run's figures, and its pictures by section."""

    config: Config
    history: list[dict]
    num_images: int
    protocol: str
    """How the figures were taken, in a sentence; empty where that is not known."""
    pictures: dict[str, list[Picture]]
    sizes: dict[str, tuple[int, int]]
    """Width and height in pixels of each picture, by its stem."""
    notes: dict[str, str]
    """What to say in a section beside its pictures, or in place of one."""


def render(page: Page) -> str:
    """The page as HTML; every name in it is escaped."""
    config = page.config
    what = f"{config.dataset}, {config.backbone}"
    shown = [s for s in _SECTIONS if page.pictures.get(s) or page.notes.get(s)]
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
        f'<p class="lead">{_text(_lead(page))}</p>',
        _facts(page),
        f'<nav aria-label="Sections">{links}<a href="#settings">Settings</a></nav>',
        "</header>",
        "<main>",
        _result(page),
    ]
    parts += [_section(page, name) for name in shown]
    parts += [_settings(page), "</main>", "</body>", "</html>"]
    return "\n".join(parts) + "\n"


def style_sheet() -> str:
    """The page's CSS."""
    return resources.files(__package__).joinpath("page.css").read_text("utf-8")


def _lead(page: Page) -> str:
    config = page.config
    last = page.history[-1]
    return (
        f"{config.backbone}, {config.image_height} x {config.image_width} pixels, "
        f"{config.num_patches} patches; start: {config.init}; "
        f"{page.num_images:,} training images, {last['epoch']} epochs, "
        f"seed {config.seed}."
    )


def _facts(page: Page) -> str:
    """The few figures of the last epoch."""
    last = page.history[-1]
    facts = []
    if "fused_mAP" in last:
        facts.append((f"{100 * last['fused_rank1']:.1f}%", "rank-1, fused"))
        facts.append((f"{100 * last['fused_mAP']:.1f}%", "mAP, fused"))
    facts.append((f"{last['clusters']:,}", "clusters"))
    if "nmi" in last:
        facts.append((f"{last['purity']:.3f}", "purity of clusters"))
        facts.append((f"{last['nmi']:.3f}", "NMI of clusters"))
    if "loss" in last:
        facts.append((f"{last['loss']:.3f}", "loss, last epoch"))
    items = "".join(f"<li><b>{_text(v)}</b>{_text(k)}</li>" for v, k in facts)
    return f'<ul class="facts">{items}</ul>'


def _result(page: Page) -> str:
    compared = summary_rows(page.history)
    if not compared:
        return (
            '<p class="note">No query is known to have a match in a gallery, so '
            "there is nothing to evaluate.</p>"
        )
    config = page.config
    where = (
        f"{config.holdout_identities} held-out identities"
        if config.holdout_identities
        else "Query against gallery"
    )
    said = ". ".join(filter(None, [where, page.protocol]))
    head = "".join(f'<th scope="col">{title}</th>' for title, _ in COLUMNS)
    body = []
    for title, record, prefix in compared:
        cells = "".join(
            f"<td>{100 * record[f'{prefix}_{name}']:.1f}</td>" for _, name in COLUMNS
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


def _section(page: Page, name: str) -> str:
    parts = [f'<section id="{name}">', f"<h2>{_SECTIONS[name]}</h2>"]
    pictures = page.pictures.get(name, [])
    charts = [picture for picture in pictures if not picture.is_sheet]
    if charts:
        figures = (_figure(picture, page.sizes[picture.stem]) for picture in charts)
        parts += ['<div class="charts">', *figures, "</div>"]
    sheets = [picture for picture in pictures if picture.is_sheet]
    parts += [_figure(picture, page.sizes[picture.stem]) for picture in sheets]
    if name in page.notes:
        parts.append(f'<p class="note">{_text(page.notes[name])}</p>')
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


def _settings(page: Page) -> str:
    fields = "".join(
        f"<div><dt>{field}</dt><dd>{_text(str(value))}</dd></div>"
        for field, value in dataclasses.asdict(page.config).items()
    )
    return (
        '<section id="settings"><h2>Settings</h2><details><summary>All fields of the '
        f'configuration</summary><dl class="fields">{fields}</dl></details></section>'
    )


def _text(text: str) -> str:
    return escape(printable(text))
