"""``run.json``: what a run was made with, one session after another.

A session is one process that trained: the first, and each ``--resume``. Nothing of it
is read back into training; ``metrics.jsonl`` stays free of clocks and machines.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from fgu_jax import files
from fgu_jax._version import __version__
from fgu_jax.runs.labels import LabelsUsed

NAME = "run.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_GIT_SECONDS = 10


class RunRecord:
    """The run's ``run.json``, with this session at its end.

    Args:
      directory: the run's folder, locked by this process.
      mesh: the devices that train.
      fingerprint: digest of the training images.
      num_images: how many.
      reading: what was read of the files that are there; ``None`` of an array.
      step: of the checkpoint that the session goes on from; 0 at the beginning.
      leak_check: what ``leaks.check`` saw of the order of rows; ``None``: not looked.
      labels: that the network was trained with, here or before; none are not told.

    Raises:
      NotWritten: the file cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        *,
        mesh: Mesh,
        fingerprint: str,
        num_images: int,
        step: int,
        reading: dict | None = None,
        leak_check: dict | None = None,
        labels: tuple[LabelsUsed, ...] = (),
    ):
        self._path = directory / NAME
        self._sessions = _read(self._path)
        before = self._sessions[-1] if self._sessions and step else None
        self._session: dict[str, Any] = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "from_step": step,
            "command": sys.argv,
            "versions": versions(),
            "platform": platform.platform(),
            "devices": _devices(mesh),
            "git": git_state(Path(__file__).parent),
            "data": {
                "fingerprint": fingerprint,
                "images": num_images,
                "reading": reading,
            },
            "leak_check": leak_check,
            "warnings": [],
        }
        if labels:
            self._session["labels"] = [each.told for each in labels]
        self._sessions.append(self._session)
        self.changes = [] if before is None else _changes(before, self._session)
        self._write()

    def warn(self, epoch: int, message: str) -> None:
        """Keeps a warning of the watch on the run.

        Raises:
          NotWritten: the file cannot be written.
        """
        self._session["warnings"].append({"epoch": epoch, "message": message})
        self._write()

    def clusters(self, found: dict[str, Any]) -> None:
        """Keeps what is told of the clusters that the run ends with.

        Raises:
          NotWritten: the file cannot be written.
        """
        self._session["clusters"] = found
        self._write()

    def _write(self) -> None:
        text = json.dumps({"sessions": self._sessions}, indent=1) + "\n"
        files.replace(self._path, text)


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that compute for it."""
    found = {"python": platform.python_version(), "fgu_jax": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that a package's folder belongs to, and whether changed.

    ``None`` where it belongs to none: no checkout there, one that does not track the
    folder (an environment within another project's), or no git.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=_GIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _devices(mesh: Mesh) -> dict[str, Any]:
    first = mesh.devices.flat[0]
    return {
        "platform": first.platform,
        "kind": first.device_kind,
        "count": mesh.devices.size,
        "processes": jax.process_count(),
    }


def _changes(before: dict, now: dict) -> list[str]:
    """What is another than in the session before, and may move the last digits."""
    found = []
    for part, prefix in (("versions", ""), ("devices", "devices' ")):
        old, new = before.get(part), now[part]
        if not isinstance(old, dict):
            continue
        found += [
            f"{prefix}{name} {old.get(name)} -> {value}"
            for name, value in new.items()
            if old.get(name) != value
        ]
    return found


def _read(path: Path) -> list[dict]:
    """The sessions so far; a file that is no record of ours is kept under a name."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        sessions = found["sessions"]
        if all(isinstance(session, dict) for session in sessions):
            return list(sessions)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    os.replace(path, path.with_suffix(".json.damaged"))
    return []
