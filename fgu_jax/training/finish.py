"""The end of a run: clusters for people, the summary, the report."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from fgu_jax import files, report
from fgu_jax.clustering import Clustering, clustering
from fgu_jax.clustering.cameras import centred
from fgu_jax.config import Config
from fgu_jax.evaluation import clusters as told
from fgu_jax.evaluation.results import print_summary
from fgu_jax.inference.passes import fused
from fgu_jax.parallel import processes
from fgu_jax.progress import bar
from fgu_jax.runs.clusters import write_clusters
from fgu_jax.runs.labels import told as told_of_labels
from fgu_jax.training.session import Session


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      directory: its folder.
      config: its configuration.
      history: one record an epoch, as in ``metrics.jsonl``; the last is the result.
      clusters: int32 [N], cluster of each training image, by row.
      names: names of the training images, by row.
      labels: that the network had, in a clause; empty of none.
    """

    directory: Path
    config: Config
    history: list[dict]
    clusters: np.ndarray
    names: tuple[str, ...]
    labels: str = ""

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: figures and pictures."""
        from fgu_jax.report.notebook import html_of_run

        return html_of_run(self.directory, self.config, self.history, self.labels)


def finish(session: Session) -> Run:
    """``clusters.csv``, the summary and the report, of features that are there.

    Clusters for people are made of the result's fused features by ``clustering``,
    whatever training made its own by. Groups by background are not taken out of them: a
    trained network sees past what is behind people, and where the edges of pictures
    show the individual itself they tell it.
    """
    config, judge, tracker = session.config, session.judge, session.tracker
    directory, names, together = config.directory, session.names, session.together
    with bar(tracker.console) as progress:
        features = session.embed(session.images, progress)
    made = clustering(
        centred(fused(*features)["fused"], *session.known_views),
        tracks=together.tracks,
        must_link=together.must_link,
        cannot_link=together.cannot_link,
    )
    labels, had = judge.train_labels, told_of_labels(config, session.labels)
    who = told.suggested(made.labels, labels, session.about.identity_names)

    def write_table():
        with files.writing(directory / "clusters.csv"):
            write_clusters(
                directory / "clusters.csv",
                names,
                made.labels,
                made.standing,
                individuals=together.answers.name_of_clusters(made.labels),
                suggested=who,
                columns=session.about.columns,
            )

    processes.on_first(write_table)
    print_summary(
        tracker.console,
        config,
        tracker.history,
        directory,
        judge.protocol,
        labels=had,
    )
    scores = told.scored(made.labels, labels)
    if session.record is not None:
        session.record.clusters(told.record(made, scores))
    lines = told.lines(made, scores)
    if who is not None:
        lines.append(told.about_suggestions(made.labels, who))
    for line in lines:
        tracker.console.print(f"clusters.csv: {line}", markup=False)
    if config.report:
        page = _report(session, made)
        if page is not None:
            tracker.console.print(f"report in {page}", markup=False)
    processes.wait()
    return Run(directory, config, tracker.history, made.labels, names, had)


def _report(session: Session, made: Clustering) -> Path | None:
    """Writes the report; the first process gets its page."""
    config, directory = session.config, session.config.directory
    with bar(session.tracker.console) as progress:
        shown = report.gather(
            config,
            session.tracker.history,
            names=session.names,
            images=session.images,
            made=made,
            judge=session.judge,
            labels=told_of_labels(config, session.labels),
            identity_names=session.about.identity_names,
            embed=functools.partial(session.embed, progress=progress),
        )

        def write() -> Path:
            with files.writing(directory / "report"):
                return report.write(directory, shown, progress=progress)

        return processes.on_first(write)
