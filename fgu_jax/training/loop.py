"""The run, top to bottom: embed; then each epoch: steps, merge, evaluate, save."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rich.console import Console

from fgu_jax import files, report
from fgu_jax.clustering.confidence import confidences
from fgu_jax.config import Config
from fgu_jax.config.methods import HANDCRAFTED
from fgu_jax.data import Dataset, leaks
from fgu_jax.errors import InputError
from fgu_jax.evaluation.results import announce, best_epoch, print_summary
from fgu_jax.inference.network import variable_shapes
from fgu_jax.networks import global_dim
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import make_mesh, replicate
from fgu_jax.progress import bar
from fgu_jax.runs import folder as run_folder
from fgu_jax.runs.checkpoints import FOLDER as CHECKPOINTS
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.runs.clusters import write_clusters
from fgu_jax.runs.metrics import Tracker
from fgu_jax.runs.record import RunRecord
from fgu_jax.training import baselines, health, programs
from fgu_jax.training import checks as starting
from fgu_jax.training import images as training_data
from fgu_jax.training.epoch import Epochs
from fgu_jax.training.optimizer import rate_schedule
from fgu_jax.training.placement import place_state, with_whole_tables
from fgu_jax.training.regrouping import regroup, settle
from fgu_jax.training.start import first_variables
from fgu_jax.training.state import (
    TABLES,
    TrainState,
    create,
    with_centres,
    with_clusters,
    with_merged_memory,
    zero_sums,
)
from fgu_jax.training.stopping import Stopped, StopRequest


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


def fit(
    config: Config,
    data: Dataset | np.ndarray | None = None,
    *,
    quiet: bool = False,
    on_epoch: Callable[[dict], object] | None = None,
) -> Run:
    """Trains from beginning to end, or goes on with a run (``config.resume``).

    A method that trains nothing (``methods.HANDCRAFTED``) is evaluated; in its ``Run``
    each image is its own cluster.

    Args:
      config: the run's configuration.
      data: a ``Dataset``, or images uint8 [N, H, W, 3] without labels (their size
        is the training size); ``None`` reads ``config.dataset``.
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
    if config.method in HANDCRAFTED:
        names, history = baselines.run(config, data, console, on_epoch)
        alone = np.arange(len(names), dtype=np.int32)
        return Run(config.directory, config, history, alone, names)
    mesh = make_mesh(config.devices)
    say = functools.partial(console.print, markup=False)
    starting.check_before_data(config, mesh)
    processes.refuse_different(dataclasses.asdict(config), "the configuration")
    processes.on_first(lambda: run_folder.check(config))
    with bar(console) as progress:
        names, images, judge = training_data.open_data(config, data, progress)
    starting.check_with_data(config, len(images))
    leak_check = None
    warnings = [judge.warning, starting.never_merges(config)]
    if not isinstance(data, np.ndarray):  # an array's rows are in its owner's order
        labels = judge.train_labels
        leak_check = leaks.check(names, None if labels is None else labels.identities)
        warnings.append(leak_check.warning)

    digest = training_data.fingerprint(names, images)
    processes.refuse_different({"digest": digest}, "the set of training images")

    # Nothing is written before all that could be refused was looked at.
    with contextlib.ExitStack() as closing:
        processes.on_first(lambda: closing.enter_context(run_folder.held(config, say)))
        checkpoints = Checkpoints(config.directory / CHECKPOINTS, keep=config.keep)
        closing.callback(checkpoints.close)
        saved = starting.saved_history(checkpoints, digest)
        about = processes.on_first(
            lambda: _begin(config, mesh, digest, len(images), leak_check, checkpoints)
        )
        for warning in filter(None, warnings):
            say(f"warning: {warning}")
        for change in about.changes if about else ():
            say(f"another than in the last session: {change}")
        tracker = Tracker(config.directory, saved["epochs"], console, on_epoch)
        closing.callback(tracker.close)
        stop = closing.enter_context(StopRequest())
        return _run(
            config, names, images, judge, mesh, checkpoints, saved, tracker, about, stop
        )


def _begin(config, mesh, digest, num_images, leak_check, checkpoints) -> RunRecord:
    """Makes the folder this run's, and keeps what it is made with."""
    run_folder.write_config(config)
    return RunRecord(
        config.directory,
        mesh=mesh,
        fingerprint=digest,
        num_images=num_images,
        step=checkpoints.latest() or 0,
        leak_check=leak_check and dataclasses.asdict(leak_check),
    )


def _run(
    config, names, images, judge, mesh, checkpoints, saved, tracker, about, stop
) -> Run:
    directory, num_images = config.directory, len(images)
    going_on = bool(saved["epochs"])
    steps_per_epoch = num_images // config.batch_size
    embedding = programs.embedding(config, mesh)
    optimizer = starting.optimizer_for(config, variable_shapes(config), steps_per_epoch)

    def embed(images, variables, progress=None):
        return embedding(variables, images, progress=progress)

    place = functools.partial(place_state, mesh=mesh, shard_tables=config.shard_tables)

    # Embed once; W and V are filled from this pass.
    if going_on:
        template = jax.eval_shape(
            lambda v: _first_state(config, v, optimizer, num_images),
            variable_shapes(config),
        )
        cut = TABLES if config.shard_tables else ()
        placed = NamedSharding(mesh, P())
        state, _ = checkpoints.restore(template, placed, on_host=cut)
        state = place(state)
    else:
        variables, said = first_variables(config, mesh, images)
        for line in said:
            tracker.console.print(line, markup=False)
        with bar(tracker.console) as progress:
            features = embed(images, variables, progress)
            state = create(
                variables=variables,
                optimizer=optimizer,
                global_features=features[0],
                patches=features[1],
                seed=config.seed,
                memory_start=config.memory_start,
                on_host=config.shard_tables,
            )
            if config.clustering == "kmeans":
                unknown = np.zeros(num_images, np.int32)
                labels = regroup(config, features, unknown, mesh)
                state = with_clusters(state, labels, features[0])
            state = place(state)
            record: dict = {"epoch": 0, "clusters": int(state.num_clusters)}
            record |= health.figures(state)
            record |= judge.histogram()
            record |= judge.network(lambda x: embed(x, variables, progress))
        tracker.epoch(record, {})
        announce(tracker.console, config, record)
        del features, variables

    train_step = programs.train_step(config, steps_per_epoch)
    train_epoch = Epochs(config, train_step, images, mesh)

    def save():
        best = best_epoch(tracker.history)
        checkpoints.save(
            with_whole_tables(state),
            saved | {"epochs": tracker.history},
            best=best and best * steps_per_epoch,
        )

    rate = rate_schedule(
        config.learning_rate,
        config.lr_drop_epoch and config.lr_drop_epoch * steps_per_epoch,
        config.lr_drop_factor,
    )
    if config.epochs == 0:
        save()  # the untrained network, for the commands that read a run
    for epoch in range(int(state.step) // steps_per_epoch + 1, config.epochs + 1):
        started = time.perf_counter()
        with bar(tracker.console) as progress:
            state = train_epoch(epoch, state, stop, progress)
            trained = time.perf_counter()
            stop.look(now=True)
            if stop.signum and int(state.step) < epoch * steps_per_epoch:
                save()
                raise Stopped(stop.signum)

            sums = jax.device_get(state.sums)
            record = {"epoch": epoch}
            record |= {k: float(v) / steps_per_epoch for k, v in sums.items()}
            record["learning_rate"] = float(rate((epoch - 1) * steps_per_epoch))

            def now(images, state=state, progress=progress):
                network = {"params": state.params, "batch_stats": state.batch_stats}
                return embed(images, network, progress)

            if config.regroups_after(epoch):
                # Labels, V and c all come from this one pass over the images.
                features = now(images)
                labels = jax.device_get(state.labels)
                labels = regroup(config, features, labels, mesh)
                if config.memory_at_merge == "memory":
                    whole = with_whole_tables(state)
                    state = place(with_merged_memory(whole, labels, features[0]))
                else:
                    state = place(with_clusters(state, labels, features[0]))
                record["merged"] = True
            elif config.centres == "epoch":
                state = place(with_centres(state, now(images)[0]))
            state = state.replace(
                sums=replicate(zero_sums(state.cluster_memory.dtype), mesh)
            )
            clusters = jax.device_get(state.labels)
            record["clusters"] = int(state.num_clusters)
            record |= health.figures(state)
            record |= judge.clusters(clusters)
            merged = time.perf_counter()
            if config.evaluates_after(epoch):
                record |= judge.network(now)
        done = time.perf_counter()
        timings = {
            "train_seconds": trained - started,
            "images_per_second": steps_per_epoch
            * config.batch_size
            / (trained - started),
            "merge_seconds": merged - trained,
            "evaluate_seconds": done - merged,
        }
        for warning in health.check(config, state, record, tracker.history):
            if about is not None:
                about.warn(epoch, warning)
            if config.watch == "stop":
                raise InputError(f"{warning}; the last checkpoint stays")
            tracker.console.print(f"warning: {warning}", markup=False)
        tracker.epoch(record, timings)
        announce(tracker.console, config, record, done - started)
        stop.look(now=True)
        due = epoch % config.save_every == 0 or epoch == config.epochs
        if due or stop.signum or best_epoch(tracker.history) == epoch:
            save()
        if stop.signum:
            raise Stopped(stop.signum)

    clusters = np.asarray(jax.device_get(state.labels))
    network = {"params": state.params, "batch_stats": state.batch_stats}
    with bar(tracker.console) as progress:
        features = embed(images, network, progress)[0]
    clusters = settle(features, clusters)
    sure = confidences(features, clusters)

    def write_table():
        with files.writing(directory / "clusters.csv"):
            write_clusters(directory / "clusters.csv", names, clusters, sure)

    processes.on_first(write_table)
    print_summary(tracker.console, config, tracker.history, directory, judge.protocol)
    if config.report:
        with bar(tracker.console) as progress:
            shown = report.gather(
                config,
                tracker.history,
                names=names,
                images=images,
                clusters=clusters,
                judge=judge,
                embed=lambda x: embed(x, network, progress),
            )

            def write_report():
                with files.writing(directory / "report"):
                    return report.write(directory, shown, progress=progress)

            page = processes.on_first(write_report)
        if page is not None:
            tracker.console.print(f"report in {page}", markup=False)
    processes.wait()
    return Run(directory, config, tracker.history, clusters, names)


def _first_state(config, variables, optimizer, num_images) -> TrainState:
    return create(
        variables=variables,
        optimizer=optimizer,
        global_features=jnp.zeros((num_images, global_dim(config.backbone))),
        patches=jnp.zeros((config.num_patches, num_images, config.patch_dim)),
        seed=config.seed,
    )
