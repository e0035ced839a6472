"""A run on disk: the whole state, and its history, by orbax; saved whole or not.

A checkpoint has three items: ``network`` (params and batch_stats, all that inference
needs), ``training`` (the rest of the state) and ``history`` (what ``metrics.jsonl``
held then, so that a resumed run writes the same file, and a digest of every array,
which is compared when the checkpoint is read).

The newest K are kept, and the best: the one with the highest fused mAP among the
evaluated epochs, where anything is evaluated. The newest is the run's result and the
one that is resumed and loaded; the best is a footnote, chosen by test labels.
"""

import errno
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from fgu_jax.errors import GO_ON, InputError, NotWritten
from fgu_jax.messages import first_line
from fgu_jax.parallel import processes
from fgu_jax.runs.arrays import (
    calling_orbax,
    digest_arrays,
    digest_json,
    other_digest,
    other_shape,
    quiet,
    read_network,
    refusing_damaged,
    warn_unverified,
)

FOLDER = "checkpoints"  # in a run's folder
_NETWORK = ("params", "batch_stats")
# Renamed before it is deleted: a checkpoint has its name whole or not at all.
_SUPERSEDED = ".superseded-"
_HALF_WRITTEN = ".orbax-checkpoint-tmp"


class Checkpoints:
    """The ``checkpoints`` folder of a run.

    Args:
      directory: it; made unless ``read_only``.
      keep: how many of the newest stay.
      read_only: nothing is written or removed.

    Raises:
      InputError: the folder cannot be written.
    """

    def __init__(self, directory: Path, *, keep: int = 2, read_only: bool = False):
        quiet()
        self._directory = directory.resolve()
        self._keep = keep
        if not read_only:
            self._remove_leftovers()
            processes.wait()
        try:
            self._manager = ocp.CheckpointManager(
                self._directory,
                options=ocp.CheckpointManagerOptions(
                    create=not read_only,
                    read_only=read_only,
                    enable_async_checkpointing=False,
                ),
                item_names=("network", "training", "history"),
            )
        except OSError as error:
            raise NotWritten(
                f"{directory} cannot be written: {error.strerror or error}"
            ) from error

    def latest(self) -> int | None:
        """Step of the newest whole checkpoint, or ``None``."""
        return self._manager.latest_step()

    def save(self, state: Any, history: dict, *, best: int | None = None) -> None:
        """Keeps the state under its step; one of that step that exists stays.

        Args:
          state: a dataclass of whole arrays, ``params`` and ``batch_stats`` among them:
            a file never shows whether its tables were cut. ``None`` is not kept.
          history: a JSON object, given back on resume.
          best: step of the best evaluated epoch; its checkpoint, where there is one,
            stays beside the newest.

        Raises:
          NotWritten: the disk is full or the folder cannot be written; the previous
            checkpoint stays.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        parts = _split(state)
        digests = digest_arrays(parts["network"] | parts["training"])
        record = history | {"digests": digests | {"history": digest_json(history)}}

        def write() -> bool:
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    network=ocp.args.StandardSave(parts["network"]),
                    training=ocp.args.StandardSave(parts["training"]),
                    history=ocp.args.JsonSave(record),
                ),
            )
            self._manager.wait_until_finished()
            return saved

        def refuse(error: Exception) -> NotWritten:
            return NotWritten(
                f"checkpoint {step} cannot be written to {self._directory}: "
                f"{_reason(error)}; {self._what_stays()}"
            )

        try:
            saved = calling_orbax(write, refuse)
        except NotWritten:
            self._remove_leftovers()  # its room may be all that is lacking
            raise
        if not saved:
            raise NotWritten(
                f"checkpoint {step} was not written to {self._directory}: it holds "
                f"checkpoint {self.latest()} already"
            )
        self._remove_superseded(best)

    def restore(
        self, template: Any, sharding: Any, *, on_host: Collection[str] = ()
    ) -> tuple[Any, dict]:
        """The newest state, placed like ``sharding``, and its history item.

        Args:
          template: a state of the same shapes; its values are not used.
          sharding: where every array goes.
          on_host: fields of the state that come as NumPy arrays instead.

        Raises:
          InputError: there is no checkpoint, it does not fit the template, or one of
            its arrays is not what was saved.
        """
        step = self._step()

        def abstract(x):
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

        def on_this_host(x):
            return np.empty(x.shape, x.dtype)

        parts = {
            item: {
                name: jax.tree.map(on_this_host if name in on_host else abstract, x)
                for name, x in fields.items()
            }
            for item, fields in _split(template).items()
        }
        found = self._restore(
            step,
            network=ocp.args.StandardRestore(parts["network"]),
            training=ocp.args.StandardRestore(parts["training"]),
        )
        arrays = {**found.network, **found.training}
        history, digests = self._read_history(step)
        self._check(step, arrays, digests)
        wanted = {name: getattr(template, name) for name in arrays}
        if name := other_shape(arrays, wanted):
            raise self._damaged(step, name)
        return template.replace(**arrays), history

    def restore_network(self, template: dict, step: int | None = None) -> dict:
        """``params`` and ``batch_stats`` of a checkpoint, as NumPy arrays.

        Args:
          template: the shapes and dtypes that the configuration's network has.
          step: which checkpoint; ``None`` takes the newest.

        Raises:
          InputError: there is no such checkpoint, it is another network's, or one of
            its arrays is not what was saved.
        """
        step = self._step(step)
        folder = self._directory / str(step) / "network"
        network = read_network(folder, template, what=self._what(step))
        self._check(step, network, self._read_history(step)[1])
        return network

    def past(self, fingerprint: str, known: str | None = None) -> dict:
        """The history of the newest checkpoint; one of no epochs where there is none.

        Args:
          fingerprint: digest of the training images.
          known: digest of what else clusters are made with; ``None`` of nothing. A
            checkpoint of an earlier version does not say it, and passes.

        Raises:
          InputError: the checkpoint is of a run on other images, or with other cameras,
            tracks or answers.
        """
        if self.latest() is None:
            return {"epochs": [], "fingerprint": fingerprint, "known": known}
        saved = self._read_history(self._step())[0]
        if saved["fingerprint"] != fingerprint:
            raise InputError(
                f"the run was trained on other images ({saved['fingerprint'][:8]}, now "
                f"{fingerprint[:8]}): resume it on the same data, or begin a new "
                f"run from its network with --init={self._directory.parent}"
            )
        if saved.get("known", known) != known:
            before, now = ((of or "none")[:8] for of in (saved["known"], known))
            raise InputError(
                f"the run was trained with other answers, tracks or cameras ({before}, "
                f"now {now}): resume it with the same, or begin a new run from its "
                f"network with --init={self._directory.parent}"
            )
        return saved

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()

    def _step(self, step: int | None = None) -> int:
        newest = self.latest()
        if newest is None:
            raise InputError(f"{self._directory} holds no whole checkpoint")
        steps = self._manager.all_steps()
        if step is not None and step not in steps:
            raise InputError(
                f"{self._directory} holds no whole checkpoint {step}: choose from "
                f"{', '.join(map(str, sorted(steps)))}"
            )
        return newest if step is None else step

    def _restore(self, step: int, **items: Any) -> Any:
        return refusing_damaged(
            lambda: self._manager.restore(step, args=ocp.args.Composite(**items)),
            self._what(step),
        )

    def _read_history(self, step: int) -> tuple[dict, dict[str, str] | None]:
        """The history and the digests; ``None`` for those of the first versions."""
        found = self._restore(step, history=ocp.args.JsonRestore()).history
        if not isinstance(found, dict):
            raise self._damaged(step, "history")
        digests = found.pop("digests", None)
        if digests is not None and (
            not isinstance(digests, dict)
            or digests.get("history") != digest_json(found)
        ):
            raise self._damaged(step, "history")
        return found, digests

    def _check(self, step: int, arrays: dict, digests: dict[str, str] | None) -> None:
        if digests is None:
            if processes.is_first():
                warn_unverified(self._what(step))
            return
        if name := other_digest(arrays, digests):
            raise self._damaged(step, name)

    def _damaged(self, step: int, name: str) -> InputError:
        older = [each for each in self._manager.all_steps() if each < step]
        mend = (
            f"copy it again, or remove {self._directory / str(step)} to go on from "
            f"checkpoint {max(older)}"
            if older
            else "copy it again; no older one is here"
        )
        return InputError(
            f"{self._what(step)} is damaged: {name} is not what was saved; {mend}"
        )

    def _what(self, step: int) -> str:
        return f"checkpoint {step} in {self._directory}"

    def _what_stays(self) -> str:
        step = self.latest()
        if step is None:
            return "there is no earlier one: make room and start again"
        return f"checkpoint {step} stays: make room and {GO_ON}"

    def _remove_superseded(self, best: int | None) -> None:
        steps = sorted(self._manager.all_steps())
        old = [step for step in steps[: -self._keep] if step != best]
        for step in old if processes.is_first() else ():
            folder = self._directory / str(step)
            os.replace(folder, self._directory / f"{_SUPERSEDED}{step}")
        if old:
            self._remove_leftovers()
            processes.wait()
            self._manager.reload()

    def _remove_leftovers(self) -> None:
        """Removes what a killed or failed process left; the run's lock is held."""
        if not processes.is_first() or not self._directory.is_dir():
            return
        for path in self._directory.iterdir():
            if path.name.startswith(_SUPERSEDED) or _HALF_WRITTEN in path.name:
                shutil.rmtree(path, ignore_errors=True)


def _reason(error: Exception) -> str:
    """The system's words, where orbax's error holds them among many of its own."""
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
        if os.strerror(code) in str(error):
            return os.strerror(code)
    return first_line(error)


def _split(state: Any) -> dict:
    fields = {name: getattr(state, name) for name in state.__dataclass_fields__}
    fields = {name: x for name, x in fields.items() if x is not None}
    network = {name: fields.pop(name) for name in _NETWORK}
    return {"network": network, "training": fields}
