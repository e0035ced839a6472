"""One session of a run: what is opened before the first step, and closed at the end."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from rich.console import Console

from fgu_jax.config import Config
from fgu_jax.data import Dataset, Images
from fgu_jax.evaluation.judge import Judge
from fgu_jax.evaluation.results import best_epoch
from fgu_jax.inference.network import variable_shapes
from fgu_jax.inference.passes import EmbedOnce
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.progress import Progress, bar
from fgu_jax.runs import folder
from fgu_jax.runs import labels as labels_used
from fgu_jax.runs.checkpoints import FOLDER as CHECKPOINTS
from fgu_jax.runs.checkpoints import Checkpoints
from fgu_jax.runs.labels import LabelsUsed
from fgu_jax.runs.metrics import Tracker
from fgu_jax.runs.record import RunRecord
from fgu_jax.training import checks, programs
from fgu_jax.training.appearance import describe
from fgu_jax.training.backgrounds import by_background, most_groups
from fgu_jax.training.epoch import Epochs
from fgu_jax.training.estimate import Estimate
from fgu_jax.training.images import About, Opened, fingerprint, known_of, open_data
from fgu_jax.training.optimizer import make_optimizer, rate_schedule
from fgu_jax.training.placement import place_state, with_whole_tables
from fgu_jax.training.regrouping import Regrouped, regroup
from fgu_jax.training.state import Stepped, TrainState, exchanged
from fgu_jax.training.stopping import StopRequest
from fgu_jax.training.together import Together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """What a run has from its first step to its last; the state alone changes.

    Attributes:
      config: the run's.
      mesh: the devices.
      names, images: of training, by row; there is no identity in them.
      cameras: of the training images by row, numbers, where ``use_cameras``.
      together: links and tracks that new clusters honour.
      about: identities' names and the columns of a table, for ``clusters.csv`` alone.
      judge: who alone is handed labels.
      checkpoints: the run's.
      labels: that the network had at its start, or has here.
      past: what the newest checkpoint says: ``epochs``, one record each, none in a new
        run, and ``fingerprint``.
      tracker: the records of the epochs, kept and shown.
      record: ``run.json``; ``None`` where another process writes it.
      stop: whether the run is asked to stop.
      spent: ``regrouping``, its seconds once it was done; ``first_epoch`` of this
        session, counted from 1.
    """

    config: Config
    mesh: Mesh
    names: tuple[str, ...]
    images: Images
    cameras: np.ndarray | None
    together: Together
    about: About
    judge: Judge
    checkpoints: Checkpoints
    labels: tuple[LabelsUsed, ...]
    past: dict[str, Any]
    tracker: Tracker
    record: RunRecord | None
    stop: StopRequest
    spent: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of the training images."""
        return len(self.images) // self.config.batch_size

    @functools.cached_property
    def optimizer(self) -> optax.GradientTransformation:
        """Of the network's variables."""
        shapes = variable_shapes(self.config)
        return make_optimizer(self.config, shapes, self.steps_per_epoch)

    @functools.cached_property
    def embed(self) -> EmbedOnce:
        """Features by the network of the epoch, each set of images embedded once."""
        return EmbedOnce(programs.embedding(self.config, self.mesh))

    @functools.cached_property
    def made(self) -> np.ndarray | None:
        """Features of the training images made by hand, if any: ``appearance``."""
        with bar(self.tracker.console) as progress:
            return describe(self.config, self.images, progress)

    @property
    def known_views(self) -> tuple[np.ndarray, ...]:
        """The cameras, where they are used: int32 [N]."""
        return () if self.cameras is None else (self.cameras,)

    @functools.cached_property
    def views(self) -> tuple[np.ndarray, ...]:
        """What an image has of where it was taken: int32 [N] each, of any kind.

        ``known_views``; then groups by background, if any.
        """
        known = self.known_views
        if not self.config.backgrounds:
            return known

        def group() -> np.ndarray:
            count = min(self.config.backgrounds, most_groups(len(self.images)))
            seed = self.config.seed
            with bar(self.tracker.console) as progress:
                return by_background(self.images, count, seed=seed, progress=progress)

        like = np.empty(len(self.images), np.int32)
        return *known, processes.broadcast_array(group, like)

    @functools.cached_property
    def train_epoch(self) -> Epochs:
        """The steps of an epoch; the images go to the devices when first asked for."""
        step = programs.train_step(self.config, self.steps_per_epoch)
        view = self.views[0] if self.views else None
        return Epochs(self.config, step, self.images, self.mesh, view=view)

    def place(self, state: TrainState) -> TrainState:
        """The state on the mesh."""
        return place_state(state, self.mesh, shard_tables=self.config.shard_tables)

    def regrouped(
        self, state: TrainState, features: tuple[np.ndarray, np.ndarray], epoch: int
    ) -> Regrouped:
        """The state, placed, with the clusters that follow this epoch: ``regroup``."""
        return regroup(
            self.config,
            state,
            features,
            self.mesh,
            epoch=epoch,
            views=self.views,
            made=self.made if self.config.compares_handcrafted(epoch) else None,
            together=self.together,
        )

    @contextlib.contextmanager
    def timed(self, epoch: int, progress: Progress) -> Iterator[Progress]:
        """Progress of the epoch's steps; in a session's first it tells the time."""
        if self.spent.setdefault("first_epoch", epoch) != epoch:
            yield progress
            return
        say = functools.partial(self.tracker.console.print, markup=False)
        regrouping = self.spent.get("regrouping")
        told = Estimate(self.config, epoch, regrouping, progress=progress, say=say)
        yield told
        told.finish()

    def means(self, epoch: int, state: Stepped) -> dict[str, float]:
        """The epoch's mean losses, and the rate that it was trained at."""
        config, steps = self.config, self.steps_per_epoch
        rate = rate_schedule(config, steps, config.learning_rate)
        means = {k: float(v) / steps for k, v in jax.device_get(state.sums).items()}
        return means | {"learning_rate": float(rate((epoch - 1) * steps))}

    def save(self, state: TrainState) -> None:
        """Keeps the state and the history so far; the best epoch's stays beside it."""
        best = best_epoch(self.tracker.history)
        self.checkpoints.save(
            exchanged(with_whole_tables(state)),
            self.past | {"epochs": self.tracker.history},
            best=best and best * self.steps_per_epoch,
        )


@contextlib.contextmanager
def open_session(
    config: Config,
    data: Any,
    console: Console,
    on_epoch: Callable[[dict], object] | None = None,
    *,
    own_labels: LabelsUsed | None = None,
) -> Iterator[Session]:
    """Opens data and folder; arguments are those of ``fit``.

    Nothing is written before all that could be refused was looked at. ``own_labels``
    are those that the run itself learns from.

    Raises:
      InputError: anything that a user can mend, in one line.
    """
    mesh = make_mesh(config.devices)
    labels = labels_used.of_run(config, own_labels)
    opened = _read(config, data, mesh, console)
    names, images, judge = opened.names, opened.images, opened.judge
    same_people = labels_used.check(config, labels, **_people(judge))
    of_names = data is None or isinstance(data, Dataset)  # not in an owner's order
    leak_check = judge.leak_check(names) if of_names else None
    digest = fingerprint(names, images)
    processes.refuse_different({"digest": digest}, "the set of training images")
    say = functools.partial(console.print, markup=False)
    with contextlib.ExitStack() as closing:
        processes.on_first(lambda: closing.enter_context(folder.held(config, say)))
        checkpoints = Checkpoints(config.directory / CHECKPOINTS, keep=config.keep)
        closing.callback(checkpoints.close)
        past = checkpoints.past(digest, known_of(opened))
        begin = functools.partial(
            _begun,
            config,
            opened,
            mesh=mesh,
            fingerprint=digest,
            step=checkpoints.latest() or 0,
            leak_check=dataclasses.asdict(leak_check) if leak_check else None,
            labels=labels,
        )
        record = processes.on_first(begin)
        warnings = [judge.warning, judge.note, *checks.doubts(config, len(images))]
        warnings += [same_people, leak_check.warning if leak_check else None]
        for line in _told(config, labels, warnings, record):
            say(line)
        tracker = Tracker(config.directory, past["epochs"], console, on_epoch)
        closing.callback(tracker.close)
        yield Session(
            **opened.for_session(),
            config=config,
            mesh=mesh,
            checkpoints=checkpoints,
            labels=labels,
            past=past,
            tracker=tracker,
            record=record,
            stop=closing.enter_context(StopRequest()),
        )


def _begun(
    config: Config, opened: Opened, *, labels: tuple[LabelsUsed, ...], **known: Any
) -> RunRecord:
    """The record of a run whose folder is from here on its own."""
    folder.write_config(config)
    labels_used.write(config.directory, labels)
    reading = opened.reading
    return RunRecord(
        config.directory,
        num_images=len(opened.images),
        reading=None if reading is None else reading.record(),
        labels=labels,
        **known,
    )


def _told(
    config: Config,
    labels: tuple[LabelsUsed, ...],
    warnings: list[str | None],
    record: RunRecord | None,
) -> Iterator[str]:
    """What a run says before it begins: whose labels it had, warnings, changes."""
    if labels:
        yield labels_used.told(config, labels)
    for warning in filter(None, warnings):
        yield f"warning: {warning}"
    for change in record.changes if record else ():
        yield f"another than in the last session: {change}"


def _people(judge: Judge) -> dict[str, np.ndarray | None]:
    """Identities of the training images and of the queries, where they are known."""
    train, test = judge.train_labels, judge.test
    return {
        "train": None if train is None else train.identities,
        "test": None if test is None else test[0].labels.identities,
    }


def _read(config: Config, data: Any, mesh: Mesh, console: Console) -> Opened:
    """The data, once all else that a run needs was validated, and then with it."""
    checks.validate_before_data(config, mesh)
    processes.refuse_different(dataclasses.asdict(config), "the configuration")
    processes.on_first(lambda: folder.check(config))
    with bar(console) as progress:
        opened = open_data(config, data, progress)
    checks.validate_with_data(config, len(opened.images))
    read = opened.reading.lines() if opened.reading else []
    for line in (*read, *opened.together.lines()):
        console.print(line, markup=False)
    return opened
