"""What a reading took and what it left out, with reasons: told and kept in records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fgu_jax.messages import counted, printable

_NAMED = 5  # names of each reason that a record keeps


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reading of a folder, an archive or prepared records.

    Attributes:
      where: what was read.
      taken: how many of its files were taken, each for one image or for several boxes.
      left_out: the other files by name, with the reason: together they are all.
      counts: what was found in them: images, identities, cameras.
      examples: what names were read as, in the words of a user.
      notes: what else was understood or guessed, one line each.
      pictures: what they look like, by a few of them.
    """

    where: str
    taken: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """All files that are there."""
        return self.taken + len(self.left_out)

    def without(self, unreadable: Mapping[str, str]) -> "Reading":
        """The reading once files that it took turned out to be unreadable."""
        told = {k: f"cannot be read: {why}" for k, why in unreadable.items()}
        new = [name for name in told if name not in self.left_out]
        return replace(
            self, taken=self.taken - len(new), left_out={**self.left_out, **told}
        )

    def noting(self, *lines: str) -> "Reading":
        """The reading with further notes."""
        return replace(self, notes=(*self.notes, *lines))

    def lines(self) -> list[str]:
        """For a person: what was taken, left out by reason, understood."""
        counts = ", ".join(f"{n:,} {what}" for what, n in self.counts.items() if n)
        said = [
            f"read {printable(self.where)}: {self.taken:,} of {self.files:,} files"
            + (f"; {counts}" if counts else "")
        ]
        if self.left_out:
            said.append(f"  left out {counted(len(self.left_out), 'file')}")
        for reason, names in self._by_reason().items():
            said.append(f"    {len(names):,}: {reason}; {_first(names, 3)}")
        said += [f"  read {example}" for example in self.examples]
        return said + [f"  {note}" for note in (*self.notes, *self.pictures)]

    def record(self) -> dict[str, Any]:
        """For a run's record, as JSON; names are those of the disk."""
        return {
            "where": self.where,
            "files": self.files,
            "taken": self.taken,
            "counts": dict(self.counts),
            "left_out": {
                reason: {"files": len(names), "first": sorted(names)[:_NAMED]}
                for reason, names in self._by_reason().items()
            },
            "examples": list(self.examples),
            "notes": list(self.notes),
            "pictures": list(self.pictures),
        }

    def _by_reason(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            found.setdefault(reason, []).append(name)
        return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])))


def _first(names: Iterable[str], count: int) -> str:
    names = sorted(names)
    more = ", ..." if len(names) > count else ""
    return ", ".join(f"'{printable(name)}'" for name in names[:count]) + more
