"""What is true of a field of the configuration, said in the field's own line."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Not:
    """In ``unless``: any value but this one."""

    value: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traits:
    """What is true of a field; every list of fields is made from these.

    What is left out is on the safe side.

    Attributes:
      help: its help text.
      group: begins a group of the command line's help.
      least, above, fraction: its range: this or more; more than this; 0 to 1.
      resumable: a resumed run may change it: it moves no number of the run's future.
      compiled: programs may depend on it. A field that is so needlessly costs a
        compilation; one that is wrongly not would cost a result.
      traced: the step takes it as a number, so that one program serves all its values.
      unless: other fields, or properties, of the configuration with a value (or
        ``Not`` one) that leaves this field without effect.
      of: where it belongs, in words of ``ROOMS``.
    """

    help: str
    group: str | None = None
    least: float | None = None
    above: float | None = None
    fraction: bool = False
    resumable: bool = False
    compiled: bool = True
    traced: bool = False
    unless: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    of: str = ""

    def __post_init__(self):
        if not set(self.of.split()) <= ROOMS.keys():
            raise ValueError(f"of is {self.of!r}: its words are {', '.join(ROOMS)}")


ROOMS = {
    "data": "which images are read, and which of them are queries",
    "network": "what features depend on, beside the weights",
    "merging": "how clusters merge",
    "regrouping": "when images get other clusters, and what from",
    "clusters": "how clusters are learnt from: losses, memories, the watch",
    "pretraining": "how labels are learnt from",
    "folder": "what is kept; no figure depends on it",
    "shared": "all runs of a table have the same, as they do of data",
    "untrained": "methods that train nothing look at it, as they do at data",
}


def field(default: Any, text: str, **traits: Any) -> Any:
    """A field of the configuration: its default, its help, its ``Traits``."""
    about = Traits(help=text, **traits)
    return dataclasses.field(default=default, metadata={"traits": about})
