"""A whole table: its runs one after another, and after each what is known so far."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fgu_jax import files
from fgu_jax.ablation import page, plot, runs, scores
from fgu_jax.ablation.tables import Table
from fgu_jax.config import Config

RUNS = "runs"


def run_table(
    table: Table,
    base: Config,
    *,
    num_seeds: int,
    directory: Path,
    command: str,
    on_epoch: Callable[[int, runs.Planned, dict], None],
    on_run: Callable[[int, runs.Finished], None],
    on_wait: Callable[[list[runs.Planned]], None] = lambda waited_for: None,
) -> Path:
    """Makes the runs that are missing and writes its ``.md``, ``.json`` and plot.

    The files are written anew after every run, so that a table which is stopped holds
    what was done; started again it makes only what is missing.

    Args:
      table: which.
      base: the whole method; its ``seed`` is the first, its ``workdir`` is not used.
      num_seeds: how many seeds.
      directory: where the files and, in ``runs/``, the runs' folders go.
      command: that is to stand in the table.
      on_epoch: called with a run's place, the run, and each epoch's record.
      on_run: called with the number of runs that are done, and the last of them.
      on_wait: called once with runs of other processes that are waited for.

    Returns:
      The Markdown file.

    Raises:
      InputError: as ``runs.make``, and where nothing can be evaluated.
      NotWritten: the files cannot be written.
      Stopped: a signal came.
    """
    planned = runs.plan(table, base, num_seeds=num_seeds, directory=directory / RUNS)
    path = directory / f"{table.stem}.md"
    found: dict[int, runs.Finished] = {}
    for place, run in runs.make(planned, on_epoch, on_wait):
        found[place] = run
        done = [found[place] for place in sorted(found)]
        text = page.page(table, base, done, num_planned=len(planned), command=command)
        record = _record(table, done, len(planned))
        files.replace(path, text, shared=True)
        files.replace(path.with_suffix(".json"), record, shared=True)
        if table.figure:
            target = directory / f"figure-{table.figure}.png"
            with files.writing(target):
                scratch, title = files.scratch_of(target), f"{base.dataset}, here"
                plot.write(table, scores.scores(done), title, scratch)
                scratch.replace(target)
        on_run(len(done), run)
    return path


def _to_pass_on(session: dict[str, Any]) -> dict[str, Any]:
    """A run's record for a table: the data's folder by its name alone.

    >>> _to_pass_on({"data": {"images": 2, "reading": {"where": "/home/me/crops"}}})
    {'data': {'images': 2, 'reading': {'where': 'crops'}}}
    """
    data = session.get("data", {})
    if "where" not in (reading := data.get("reading") or {}):
        return session
    named = {**reading, "where": Path(reading["where"]).name}
    return {**session, "data": {**data, "reading": named}}


def _record(table: Table, done: list[runs.Finished], num_planned: int) -> str:
    """Every figure of the table, for whoever plots or checks it otherwise."""
    found = [
        {
            "setting": run.label,
            "seed": run.config.seed,
            "folder": run.config.directory.name,
            "last": run.history[-1],
            "untrained": run.history[0],
            "seconds": run.seconds,
            "made_with": _to_pass_on(run.session),
        }
        for run in done
    ]
    record = {
        "table": table.stem,
        "settings": dict(table.settings),
        "planned": num_planned,
        "runs": found,
        "verdicts": scores.verdicts(table, scores.scores(done)),
    }
    return json.dumps(record, indent=1) + "\n"
