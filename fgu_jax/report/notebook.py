"""A run as a notebook shows it: its figures, and pictures of its report."""

import base64
import html
from pathlib import Path
from typing import Any

from fgu_jax.config import Config
from fgu_jax.evaluation.results import COLUMNS, name_of_start, ranked_on, rows

_PICTURES = ("clusters-light.png", "queries-light.png")


def html_of_run(
    directory: Path, config: Config, history: list[dict[str, Any]], labels: str = ""
) -> str:
    """HTML without a script: where the run is, its table, its pictures where there are.

    Args:
      directory: the run's folder.
      config: the run's.
      history: one record an epoch.
      labels: the clause of ``runs.labels.told``; empty of none.
    """
    said = [f"<p>A run of {html.escape(config.dataset)} in {_code(directory)}.</p>"]
    compared = rows(history, name_of_start(config, labels))
    if compared:
        heads = "".join(f"<th>{title}</th>" for title, _ in COLUMNS)
        said.append(
            f"<table><caption>{html.escape(ranked_on(config))}, %</caption>"
            f"<tr><th></th>{heads}</tr>"
        )
        for title, record, prefix in compared:
            cells = "".join(
                f"<td>{100 * record[f'{prefix}_{name}']:.1f}</td>"
                for _, name in COLUMNS
            )
            said.append(f"<tr><td>{html.escape(title)}</td>{cells}</tr>")
        said.append("</table>")
    page = directory / "report" / "index.html"
    for name in _PICTURES:
        picture = page.parent / name
        if picture.is_file():
            data = base64.b64encode(picture.read_bytes()).decode()
            said.append(
                f'<p><img style="max-width: 100%" alt="{name}" '
                f'src="data:image/png;base64,{data}"></p>'
            )
    if page.is_file():
        said.append(f"<p>The whole report: {_code(page)}</p>")
    return "\n".join(said)


def _code(path: Path) -> str:
    return f"<code>{html.escape(str(path))}</code>"
