"""A run on disk: the whole state, and its history, by orbax; saved whole or not.

A checkpoint has three items: ``network`` (params and batch_stats, all that inference
needs), ``training`` (the rest of the state) and ``history`` (what ``metrics.jsonl``
held then, so that a resumed run writes the same file).
"""

import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from fgu_jax.errors import InputError
from fgu_jax.network_files import first_line, read_network, refusing_damaged
from fgu_jax.state import TrainState

_NETWORK = ("params", "batch_stats")


class Checkpoints:
    """The ``checkpoints`` folder of a run."""

    def __init__(self, directory: Path, *, keep: int = 2, read_only: bool = False):
        # orbax tells of its own start at every level; its errors still come through.
        logging.getLogger("absl").setLevel(logging.ERROR)
        self._directory = directory.resolve()
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=None if read_only else keep,
                create=not read_only,
                read_only=read_only,
                enable_async_checkpointing=False,
            ),
            item_names=("network", "training", "history"),
        )

    def latest(self) -> int | None:
        """Step of the newest whole checkpoint, or ``None``."""
        return self._manager.latest_step()

    def save(self, state: TrainState, history: dict) -> None:
        """Keeps the state under its step; one of that step that exists stays.

        Args:
          state: the whole state.
          history: a JSON object, given back on resume.

        Raises:
          InputError: the disk is full or the folder cannot be written; the previous
            checkpoint stays.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        parts = _split(state)
        try:
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    network=ocp.args.StandardSave(parts["network"]),
                    training=ocp.args.StandardSave(parts["training"]),
                    history=ocp.args.JsonSave(history),
                ),
            )
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            previous = self.latest()
            raise InputError(
                f"checkpoint {step} cannot be written to {self._directory}: "
                f"{first_line(error)}; checkpoint {previous} stays"
            ) from error
        if not saved:
            raise InputError(
                f"checkpoint {step} was not written to {self._directory}: it holds "
                f"checkpoint {self.latest()} already"
            )

    def restore(self, template: TrainState, sharding: Any) -> tuple[TrainState, dict]:
        """The newest state, placed like ``sharding``, and its history item.

        Args:
          template: a state of the same shapes; its values are not used.
          sharding: where every array goes.

        Raises:
          InputError: there is no checkpoint, or it does not fit the template.
        """
        step = self._step()

        def abstract(x):
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

        parts = jax.tree.map(abstract, _split(template))
        found = self._restore(
            step,
            network=ocp.args.StandardRestore(parts["network"]),
            training=ocp.args.StandardRestore(parts["training"]),
            history=ocp.args.JsonRestore(),
        )
        return template.replace(**found.network, **found.training), found.history

    def restore_network(self, template: dict) -> dict:
        """``params`` and ``batch_stats`` of the newest checkpoint, as NumPy arrays."""
        step = self._step()
        folder = self._directory / str(step) / "network"
        return read_network(folder, template, what=self._what(step))

    def history(self) -> dict:
        """The history item of the newest checkpoint."""
        step = self._step()
        return self._restore(step, history=ocp.args.JsonRestore()).history

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()

    def _step(self) -> int:
        step = self.latest()
        if step is None:
            raise InputError(f"{self._directory} holds no whole checkpoint")
        return step

    def _restore(self, step: int, **items: Any) -> Any:
        return refusing_damaged(
            lambda: self._manager.restore(step, args=ocp.args.Composite(**items)),
            self._what(step),
        )

    def _what(self, step: int) -> str:
        return f"checkpoint {step} in {self._directory}"


def _split(state: TrainState) -> dict:
    fields = {name: getattr(state, name) for name in state.__dataclass_fields__}
    network = {name: fields.pop(name) for name in _NETWORK}
    return {"network": network, "training": fields}
