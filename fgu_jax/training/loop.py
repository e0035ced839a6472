"""The run, top to bottom: embed; then each epoch: steps, merge, evaluate, save."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rich.console import Console

from fgu_jax import files, report
from fgu_jax.clustering import Clustering, clustering
from fgu_jax.clustering.cameras import centred
from fgu_jax.config import Config
from fgu_jax.config.methods import HANDCRAFTED, SUPERVISED
from fgu_jax.errors import InputError
from fgu_jax.evaluation import clusters as told
from fgu_jax.evaluation.results import announce, best_epoch, print_summary
from fgu_jax.inference.network import variable_shapes
from fgu_jax.inference.passes import fused
from fgu_jax.networks import global_dim
from fgu_jax.parallel import processes
from fgu_jax.parallel.allocation import give_back
from fgu_jax.parallel.mesh import replicate
from fgu_jax.progress import bar
from fgu_jax.runs.clusters import write_clusters
from fgu_jax.runs.labels import told as told_of_labels
from fgu_jax.training import baselines, health
from fgu_jax.training.session import Session, open_session
from fgu_jax.training.shape import shaped
from fgu_jax.training.start import first_variables
from fgu_jax.training.state import (
    TABLES,
    TrainState,
    create,
    exchanged,
    result,
    with_centres,
    zero_sums,
)
from fgu_jax.training.stopping import Stopped


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      directory: its folder.
      config: its configuration.
      history: one record an epoch, as in ``metrics.jsonl``; the last is the result.
      clusters: int32 [N], cluster of each training image, by row.
      names: names of the training images, by row.
    """

    directory: Path
    config: Config
    history: list[dict]
    clusters: np.ndarray
    names: tuple[str, ...]

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: figures and pictures."""
        from fgu_jax.report.notebook import html_of_run

        return html_of_run(self.directory, self.config, self.history)


def fit(
    config: Config,
    data: Any = None,
    *,
    quiet: bool = False,
    on_epoch: Callable[[dict], object] | None = None,
) -> Run:
    """Trains from beginning to end, or goes on with a run (``config.resume``).

    A method that trains nothing (``methods.HANDCRAFTED``) is evaluated; in its ``Run``
    each image is its own cluster.

    Args:
      config: the run's configuration.
      data: a ``Dataset``; or images without labels: uint8 [N, H, W, 3], or a list, a
        generator or a column of a table of arrays, Pillow images or paths
        (``data.given.KINDS``), resized to the training size; ``None`` reads
        ``config.dataset``.
      quiet: print nothing.
      on_epoch: called with each epoch's record, as in ``metrics.jsonl``, once it is
        kept; what it raises ends the run, which can be resumed.

    Returns:
      ``Run``; its folder holds checkpoints, metrics, clusters and the report.

    Raises:
      InputError: anything that a user can mend, in one line.
      Stopped: SIGINT or SIGTERM came; the state was saved first.
    """
    quiet = quiet or not processes.is_first()
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    if config.method == SUPERVISED:
        raise InputError(
            f"--method={SUPERVISED} learns from labels, and this trains without: run "
            "experiments/pretrain.py, or fgu_jax.pretrain"
        )
    config, data = shaped(config, data, console)
    if config.method in HANDCRAFTED:
        names, history = baselines.run(config, data, console, on_epoch)
        alone = np.arange(len(names), dtype=np.int32)
        return Run(config.directory, config, history, alone, names)
    with open_session(config, data, console, on_epoch) as session:
        state = first_state(session)
        done = int(state.step) // session.steps_per_epoch
        for epoch in range(done + 1, config.epochs + 1):
            state = one_epoch(session, epoch, state)
        return finish(session, state)


def first_state(session: Session) -> TrainState:
    """The state to go on from: a checkpoint's, or each image a cluster of its own.

    In a new run all images are embedded once; V, W and c are filled from this pass.

    Raises:
      InputError: weights or a checkpoint that cannot be had or do not fit.
    """
    config, tracker = session.config, session.tracker
    if session.past["epochs"]:
        state = _restored(session)
        session.embed.network(result(state))
        return state
    variables, said = first_variables(config, session.mesh, session.images)
    for line in said:
        tracker.console.print(line, markup=False)
    session.embed.network(variables)
    with bar(tracker.console) as progress:
        embed = functools.partial(session.embed, progress=progress)
        _ = session.made, session.views  # once a run
        started = time.perf_counter()
        features = embed(session.images)
        state = create(
            variables=variables,
            optimizer=session.optimizer,
            global_features=features[0],
            patches=features[1],
            seed=config.seed,
            memory_start=config.memory_start,
            teacher=config.teacher > 0,
            agreement=config.refines,
            independence=config.distance_gap > 0,
            on_host=config.shard_tables,
        )
        if config.regroups_after(0):
            state = session.regrouped(state, features, epoch=0)
            session.spent["regrouping"] = time.perf_counter() - started
        state = session.place(state)
        record: dict = {"epoch": 0, "clusters": int(state.num_clusters)}
        record |= health.figures(state)
        record |= session.judge.histogram()
        record |= session.judge.network(embed)
    tracker.epoch(record, {})
    announce(tracker.console, config, record)
    if config.epochs == 0:
        session.save(state)  # the untrained network, for the commands that read a run
    return state


def one_epoch(session: Session, epoch: int, state: TrainState) -> TrainState:
    """The state after an epoch: steps, other clusters if due, figures, a checkpoint.

    Args:
      session: what stays.
      epoch: counted from 1; ``state`` may be within it.
      state: donated: it may not be used again.

    Raises:
      InputError: a loss that is not finite, or what ``config.watch`` stops for.
      Stopped: a signal came; the state was saved first.
    """
    config, judge, train = session.config, session.judge, session.train_epoch
    session.embed.network({})  # no features are held while the network changes
    times = [time.perf_counter()]
    with bar(session.tracker.console) as progress:
        with session.timed(epoch, progress) as timed:
            state = train(epoch, state, session.stop, timed)
        times.append(time.perf_counter())
        give_back()
        _stop_if_asked(session, state, within=epoch)

        session.embed.network(result(state))
        embed = functools.partial(session.embed, progress=progress)
        record = {"epoch": epoch} | session.means(epoch, state)
        if config.regroups_after(epoch):
            # Labels, V and c all come from this one pass over the images.
            before = state
            state = session.regrouped(state, embed(session.images), epoch=epoch)
            record["merged"] = state is not before
        elif config.centres == "epoch":
            state = session.place(with_centres(state, embed(session.images)[0]))
        sums = zero_sums(state.cluster_memory.dtype)
        state = state.replace(sums=replicate(sums, session.mesh))
        record["clusters"] = int(state.num_clusters)
        record |= health.figures(state)
        record |= judge.clusters(jax.device_get(state.labels))
        times.append(time.perf_counter())
        if config.evaluates_after(epoch):
            record |= judge.network(embed)
    times.append(time.perf_counter())
    _keep(session, state, record, times)
    give_back()
    return state


def finish(session: Session, state: TrainState) -> Run:
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
    labels = judge.train_labels
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
        labels=told_of_labels(config, session.labels),
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
    return Run(directory, config, tracker.history, made.labels, names)


def _restored(session: Session) -> TrainState:
    """The state of the newest checkpoint, on the mesh."""
    config, num_images = session.config, len(session.images)

    def shaped(variables: dict) -> TrainState:
        return create(
            variables=variables,
            optimizer=session.optimizer,
            global_features=jnp.zeros((num_images, global_dim(config.backbone))),
            patches=jnp.zeros((config.num_patches, num_images, config.patch_dim)),
            seed=config.seed,
            teacher=config.teacher > 0,
            agreement=config.refines,
            independence=config.distance_gap > 0,
        )

    state, _ = session.checkpoints.restore(
        jax.eval_shape(shaped, variable_shapes(config)),
        NamedSharding(session.mesh, P()),
        on_host=TABLES if config.shard_tables else (),
    )
    return session.place(exchanged(state))


def _stop_if_asked(session: Session, state: TrainState, within: int) -> None:
    """Saves and stops within an epoch; at its end its figures are taken first."""
    stop = session.stop
    stop.look(now=True)
    if stop.signum and int(state.step) < within * session.steps_per_epoch:
        session.save(state)
        raise Stopped(stop.signum)


def _keep(session: Session, state: TrainState, record: dict, times: list) -> None:
    """Warns, writes and shows an epoch's record, and saves the state where it is due.

    ``times`` are those of its start and of the ends of training, merge, evaluation.
    """
    config, tracker, stop = session.config, session.tracker, session.stop
    epoch = record["epoch"]
    for warning in health.check(config, state, record, tracker.history):
        if session.record is not None:
            session.record.warn(epoch, warning)
        if config.watch == "stop":
            raise InputError(f"{warning}; the last checkpoint stays")
        tracker.console.print(f"warning: {warning}", markup=False)
    train, merge, evaluate = (b - a for a, b in itertools.pairwise(times))
    timings = {
        "train_seconds": train,
        "images_per_second": session.steps_per_epoch * config.batch_size / train,
        "merge_seconds": merge,
        "evaluate_seconds": evaluate,
    }
    tracker.epoch(record, timings)
    announce(tracker.console, config, record, times[-1] - times[0])
    stop.look(now=True)
    due = epoch % config.save_every == 0 or epoch == config.epochs
    if due or stop.signum or best_epoch(tracker.history) == epoch:
        session.save(state)
    if stop.signum:
        raise Stopped(stop.signum)


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
