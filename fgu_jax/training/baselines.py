"""A run of a method that trains nothing: features made by hand, and their figures."""

import contextlib
import functools
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

from fgu_jax.config import Config
from fgu_jax.data import Images, leaks
from fgu_jax.errors import InputError
from fgu_jax.evaluation.judge import Judge, Split
from fgu_jax.evaluation.results import print_summary
from fgu_jax.handcrafted import learn_bag_of_words, lomo
from fgu_jax.parallel import processes
from fgu_jax.parallel.mesh import make_mesh
from fgu_jax.progress import Progress, bar
from fgu_jax.runs import folder
from fgu_jax.runs.metrics import Tracker
from fgu_jax.runs.record import RunRecord
from fgu_jax.training import appearance
from fgu_jax.training.images import fingerprint, open_data


def run(
    config: Config,
    data: Any,
    console: Console,
    on_epoch: Callable[[dict], object] | None = None,
) -> tuple[tuple[str, ...], list[dict]]:
    """Figures of ``--method=bow`` or ``lomo``, over the data and protocol of training.

    The run's folder gets ``config.json``, ``run.json``, ``metrics.jsonl`` with one
    record, of epoch 0, and ``timings.jsonl``. There is no network in it and no
    clusters. ``config.resume`` of a finished run says its figures again.

    Args:
      config: the run's.
      data: as ``fgu_jax.fit`` takes it; with identities to evaluate on.
      console: prints.
      on_epoch: called with the record, once it is kept.

    Returns:
      Names [N] of the training images, and the history.

    Raises:
      InputError: anything that a user can mend, in one line.
    """
    if processes.several():
        raise InputError(f"--method={config.method} runs in one process: start one")
    appearance.validate(config)
    folder.check(config)
    with bar(console) as progress:
        opened = open_data(config, data, progress)
    images, judge, reading = opened.images, opened.judge, opened.reading
    say = functools.partial(console.print, markup=False)
    for line in filter(None, [*(reading.lines() if reading else ()), judge.note]):
        say(line)
    gallery = _gallery(config, judge)
    leak_check = None
    if judge.train_labels is not None:
        leak_check = leaks.check(opened.names, judge.train_labels.identities)
    with folder.held(config, say):
        history = _finished(config)
        if not history:
            folder.write_config(config)
            RunRecord(
                config.directory,
                mesh=make_mesh(1),
                fingerprint=fingerprint(gallery.names, gallery.images),
                num_images=len(images),
                reading=None if reading is None else reading.record(),
                step=0,
                leak_check=None if leak_check is None else asdict(leak_check),
            )
            tracker = Tracker(config.directory, [], console, on_epoch)
            with contextlib.closing(tracker):
                tracker.epoch(*_measured(config, images, judge, console))
            history = tracker.history
        print_summary(console, config, history, config.directory, judge.protocol)
    return opened.names, history


def _gallery(config: Config, judge: Judge) -> Split:
    if judge.test is None:
        why = judge.warning or f"{config.dataset} has no identities to evaluate with"
        raise InputError(
            f"{why}, and --method={config.method} does nothing else: choose a method "
            "that trains"
        )
    return judge.test[1]


def _measured(
    config: Config, images: Images, judge: Judge, console: Console
) -> tuple[dict, dict]:
    """The record of epoch 0, and how long its features and figures took."""
    times = [time.perf_counter()]
    with bar(console) as progress:
        describe = _features(config, images, progress)
        times.append(time.perf_counter())
        record = {"epoch": 0, **judge.handcrafted(config.method, describe, progress)}
    times.append(time.perf_counter())
    learn, evaluate = (b - a for a, b in itertools.pairwise(times))
    return record, {"learn_seconds": learn, "evaluate_seconds": evaluate}


def _features(
    config: Config, images: Images, progress: Progress
) -> Callable[[np.ndarray], np.ndarray]:
    if config.method == "lomo":
        return lomo
    rows = np.asarray(images[0 : len(images)])
    return learn_bag_of_words(rows, seed=config.seed, progress=progress)


def _finished(config: Config) -> list[dict]:
    """The history of a run that ended; empty where there is none."""
    if not folder.measured(config.directory, config):
        return []
    text = (config.directory / folder.METRICS).read_text(encoding="utf-8")
    try:
        history = [json.loads(line) for line in text.splitlines()]
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{config.directory / folder.METRICS} is damaged ({error}): choose "
            "another --workdir"
        ) from None
    return history
