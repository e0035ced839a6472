"""The run, top to bottom: embed; then each epoch: steps, merge, evaluate, save."""

import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rich.console import Console

from fgu_jax.config import Config
from fgu_jax.config.methods import HANDCRAFTED, SUPERVISED
from fgu_jax.errors import InputError
from fgu_jax.evaluation.results import announce, best_epoch
from fgu_jax.inference.network import variable_shapes
from fgu_jax.networks import global_dim
from fgu_jax.parallel import processes
from fgu_jax.parallel.allocation import give_back
from fgu_jax.parallel.mesh import replicate
from fgu_jax.progress import bar
from fgu_jax.training import baselines, health
from fgu_jax.training.finish import Run, finish
from fgu_jax.training.left_out import Refused
from fgu_jax.training.sampling import small_clusters
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
        return finish(session)


def first_state(session: Session) -> TrainState:
    """The state to go on from: a checkpoint's, or each image a cluster of its own.

    In a new run all images are embedded once; V, W and c are filled from this pass.

    Raises:
      InputError: weights or a checkpoint that cannot be had or do not fit, or what
        ``config.watch`` stops for.
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
        refused = None
        if config.regroups_after(0):
            state, refused = session.regrouped(state, features, epoch=0)
            session.spent["regrouping"] = time.perf_counter() - started
        state = session.place(state)
        record: dict = {"epoch": 0, "clusters": int(state.num_clusters)}
        record |= health.figures(config, state)
        record |= session.judge.histogram()
        record |= session.judge.network(embed)
    _watch(session, state, record, refused)
    if config.images_a_cluster and config.epochs:
        note = small_clusters(jax.device_get(state.labels), config.images_a_cluster)
        if note:
            tracker.console.print(note, markup=False)
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
        refused = None
        if config.regroups_after(epoch):
            # Labels, V and c all come from this one pass over the images.
            state, refused = session.regrouped(
                state, embed(session.images), epoch=epoch
            )
            record["merged"] = refused is None
        elif config.centres == "epoch":
            state = session.place(with_centres(state, embed(session.images)[0]))
        sums = zero_sums(state.cluster_memory.dtype)
        state = state.replace(sums=replicate(sums, session.mesh))
        record["clusters"] = int(state.num_clusters)
        record |= health.figures(config, state)
        record |= judge.clusters(jax.device_get(state.labels))
        times.append(time.perf_counter())
        if config.evaluates_after(epoch):
            record |= judge.network(embed)
    times.append(time.perf_counter())
    _keep(session, state, record, refused, times)
    give_back()
    return state


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


def _watch(
    session: Session, state: TrainState, record: dict, refused: Refused | None
) -> None:
    """Tells of what is wrong, or stops the run for it, as ``config.watch`` says."""
    epoch, tracker, config = record["epoch"], session.tracker, session.config
    history = tracker.history
    for warning in health.check(config, state, record, history, refused=refused):
        if session.record is not None:
            session.record.warn(epoch, warning)
        if config.watch == "stop":
            stays = "; the last checkpoint stays" if epoch > 0 else ""
            raise InputError(f"{warning}{stays}")
        tracker.console.print(f"warning: {warning}", markup=False)


def _keep(
    session: Session,
    state: TrainState,
    record: dict,
    refused: Refused | None,
    times: list,
) -> None:
    """Watches, writes and shows an epoch's record, and saves the state where it is due.

    ``times`` are those of its start and of the ends of training, merge, evaluation.
    """
    config, tracker, stop = session.config, session.tracker, session.stop
    epoch = record["epoch"]
    _watch(session, state, record, refused)
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
