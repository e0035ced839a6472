"""What a source's pictures hold: a digest of their bytes, boxes and tracks."""

import contextlib
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fgu_jax.data.images import Source, default_threads
from fgu_jax.data.layouts.tree import Layout
from fgu_jax.data.load import digest_of
from fgu_jax.errors import InputError
from fgu_jax.progress import Progress


@dataclass(frozen=True)
class Digesting:
    """A source that keeps a SHA-256 digest of all that is read from it, by key."""

    source: Source
    digests: dict[str | int, str] = field(default_factory=dict)

    def read(self, key: str | int) -> bytes:
        data = self.source.read(key)
        self.digests[key] = hashlib.sha256(data).hexdigest()
        return data


def read_all(
    layout: Layout, source: Source, progress: Progress | None
) -> Mapping[str | int, str]:
    """SHA-256 digests of all files of a layout, by key; none of one that is unreadable.

    Args:
      layout: whose entries are read, each file once.
      source: where their bytes are.
      progress: called with (done, total, what).
    """
    seen = Digesting(source)
    keys = dict.fromkeys(e.key for split in layout.splits.values() for e in split)

    def read(key: str | int) -> None:
        with contextlib.suppress(OSError, InputError):
            seen.read(key)

    with ThreadPoolExecutor(default_threads()) as pool:
        for done, _ in enumerate(pool.map(read, keys), 1):
            if progress is not None:
                progress(done, len(keys), "comparing images")
    return seen.digests


def content_of(layout: Layout, digests: Mapping[str | int, str]) -> str:
    """A name for what the entries show, in whatever order they were listed.

    Args:
      layout: all entries, before any is skipped.
      digests: of the files' bytes, by key; a file without one could not be read.
    """
    rows = {
        split: repr(
            sorted(
                f"{e.name!r} {e.box} {e.track} {digests.get(e.key)}" for e in entries
            )
        )
        for split, entries in layout.splits.items()
    }
    return digest_of(rows)
