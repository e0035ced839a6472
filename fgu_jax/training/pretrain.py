"""A start with labels, top to bottom: read; then each epoch: steps, evaluate, save.

The one place where labels of training images are learnt from. They are those of a
source dataset; the folder says so (``runs.labels``), and every run that starts from it.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rich.console import Console

from fgu_jax.config import Config
from fgu_jax.config.methods import SUPERVISED
from fgu_jax.data import Dataset, only_known
from fgu_jax.errors import InputError
from fgu_jax.evaluation.results import announce, best_epoch, print_summary
from fgu_jax.inference.network import build_network, variable_shapes
from fgu_jax.messages import command
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import AXIS, make_mesh, replicate
from fgu_jax.progress import bar
from fgu_jax.runs import folder, labels
from fgu_jax.training import checks, supervised
from fgu_jax.training.epoch import Epochs
from fgu_jax.training.finish import Run
from fgu_jax.training.images import read_dataset
from fgu_jax.training.session import Session, open_session
from fgu_jax.training.shape import shaped
from fgu_jax.training.start import first_variables
from fgu_jax.training.stopping import Stopped
from fgu_jax.training.supervised import SupervisedState


def pretrain(
    config: Config,
    data: Dataset | None = None,
    *,
    quiet: bool = False,
    on_epoch: Callable[[dict], object] | None = None,
) -> Run:
    """Trains the network with the identities of a source dataset, or goes on with it.

    Args:
      config: of ``method`` ``supervised``.
      data: the source; ``None`` reads ``config.dataset``.
      quiet: print nothing.
      on_epoch: as ``fit``'s.

    Returns:
      ``Run``, whose clusters are the identities; its folder holds checkpoints and
      metrics, and ``--init`` takes it.

    Raises:
      InputError: anything that a user can mend, in one line.
      Stopped: SIGINT or SIGTERM came; the state was saved first.
    """
    quiet = quiet or not processes.is_first()
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    config, data = shaped(config, data, console)
    known, left_out = _named(config, data, console)
    assert known.train_labels is not None
    identities, classes = np.unique(known.train_labels.identities, return_inverse=True)
    for line in _counted(config, classes, left_out):
        console.print(line, markup=False)
    own = labels.of_training(config, identities[classes])
    with open_session(config, known, console, on_epoch, own_labels=own) as session:
        steps = session.steps_per_epoch
        optimizer = supervised.optimizer_of(
            config, variable_shapes(config), len(identities), steps
        )
        state = _first_state(session, classes, optimizer)
        step = supervised.make_supervised_step(
            build_network(config, AXIS), optimizer, config, steps
        )
        train = Epochs(config, step, session.images, session.mesh)
        for epoch in range(int(state.step) // steps + 1, config.epochs + 1):
            state = _one_epoch(session, train, epoch, state)
        return _finish(session, classes)


def _named(
    config: Config, data: Dataset | None, console: Console
) -> tuple[Dataset, int]:
    """The source, its training images of known identities alone, and how many others.

    Raises:
      InputError: what can never be trained with labels.
    """
    if config.method != SUPERVISED:
        raise InputError(
            f"method is {config.method!r}, which learns without labels: "
            "experiments/train.py runs it"
        )
    if config.epochs < 1:
        raise InputError(f"epochs is {config.epochs}: pretraining takes 1 or more")
    checks.validate_before_data(config, make_mesh(config.devices))
    processes.on_first(lambda: folder.check(config))
    with bar(console) as progress:
        dataset = read_dataset(config, progress) if data is None else data
    known = only_known(dataset)
    assert known.train_labels is not None
    count = len(np.unique(known.train_labels.identities))
    if count < 2:
        raise InputError(
            f"{dataset.name} has {count} identities to train with: 2 or more can be "
            "told apart"
        )
    return known, len(dataset.train) - len(known.train)


def _counted(config: Config, classes: np.ndarray, left_out: int) -> list[str]:
    """What is learnt from and what is not, a line each."""
    sizes = np.bincount(classes)
    said = [f"labels: {len(sizes):,} identities on {len(classes):,} training images"]
    if left_out:
        said.append(f"left out: {left_out:,} images of nobody known")
    single = int(np.count_nonzero(sizes == 1))
    if single:
        said.append(f"{single:,} identities have a single image")
        if config.triplet_margin is not None:
            said[-1] += ", which is its own nearest in a triplet"
    return said


def _first_state(
    session: Session, classes: np.ndarray, optimizer: optax.GradientTransformation
) -> SupervisedState:
    """The state to go on from: a checkpoint's, or new classifiers on the start."""
    config, tracker = session.config, session.tracker
    num_classes = int(classes.max()) + 1
    create = functools.partial(
        supervised.create, labels=classes, optimizer=optimizer, seed=config.seed
    )
    draw = functools.partial(supervised.first_classifiers, config, num_classes)
    if session.past["epochs"]:
        shapes = jax.eval_shape(lambda v: create(v, draw()), variable_shapes(config))
        sharding = NamedSharding(session.mesh, P())
        return session.checkpoints.restore(shapes, sharding)[0]
    variables, said = first_variables(config, session.mesh, session.images)
    for line in said:
        tracker.console.print(line, markup=False)
    state = replicate(create(variables, draw()), session.mesh)
    session.embed.network(_network(state))
    record: dict[str, Any] = {"epoch": 0}
    with bar(tracker.console) as progress:
        record |= session.judge.histogram()
        record |= session.judge.network(
            functools.partial(session.embed, progress=progress)
        )
    tracker.epoch(record, {})
    announce(tracker.console, config, record)
    return state


def _finish(session: Session, classes: np.ndarray) -> Run:
    """The summary, and how the folder is used."""
    config, tracker = session.config, session.tracker
    had = labels.told(config, session.labels)
    print_summary(
        tracker.console,
        config,
        tracker.history,
        config.directory,
        session.judge.protocol,
        labels=had,
    )
    said = f"a start for {command('train')}: --init={config.directory}"
    tracker.console.print(said, markup=False)
    processes.wait()
    return Run(
        config.directory,
        config,
        tracker.history,
        classes.astype(np.int32),
        session.names,
        had,
    )


def _network(state: SupervisedState) -> dict[str, Any]:
    return {"params": state.params, "batch_stats": state.batch_stats}


def _one_epoch(
    session: Session, train: Epochs, epoch: int, state: SupervisedState
) -> SupervisedState:
    """The state after an epoch: steps, figures if due, a checkpoint.

    Args:
      session: what stays.
      train: the steps.
      epoch: counted from 1; ``state`` may be within it.
      state: donated: it may not be used again.

    Raises:
      InputError: a loss that is not finite.
      Stopped: a signal came; the state was saved first.
    """
    config, stop, tracker = session.config, session.stop, session.tracker
    session.embed.network({})  # no features are held while the network changes
    started = time.perf_counter()
    with bar(tracker.console) as progress:
        state = train(epoch, state, stop, progress)
        trained = time.perf_counter()
        stop.look(now=True)
        if stop.signum and int(state.step) < epoch * session.steps_per_epoch:
            _save(session, state)
            raise Stopped(stop.signum)
        session.embed.network(_network(state))
        record = {"epoch": epoch} | session.means(epoch, state)
        if config.evaluates_after(epoch):
            record |= session.judge.network(
                functools.partial(session.embed, progress=progress)
            )
    state = state.replace(sums=replicate(supervised.zero_sums(), session.mesh))
    ended = time.perf_counter()
    timings = {
        "train_seconds": trained - started,
        "images_per_second": session.steps_per_epoch
        * config.batch_size
        / (trained - started),
        "evaluate_seconds": ended - trained,
    }
    tracker.epoch(record, timings)
    announce(tracker.console, config, record, ended - started)
    stop.look(now=True)
    due = epoch % config.save_every == 0 or epoch == config.epochs
    if due or stop.signum or best_epoch(tracker.history) == epoch:
        _save(session, state)
    if stop.signum:
        raise Stopped(stop.signum)
    return state


def _save(session: Session, state: SupervisedState) -> None:
    """Keeps the state and the history so far; the best epoch's stays beside it."""
    best = best_epoch(session.tracker.history)
    session.checkpoints.save(
        state,
        session.past | {"epochs": session.tracker.history},
        best=best and best * session.steps_per_epoch,
    )
