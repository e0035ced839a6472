"""What messages are made of: printable names, near misses, first lines."""

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def command(name: str) -> str:
    """What a user types for a command: as this process was started itself.

    >>> command("search")
    'search.py'
    """
    started = Path(sys.argv[0]).parts[-2:]
    installed = started[-1:] == ("fgu-jax",) or started == ("fgu_jax", "__main__.py")
    return f"fgu-jax {name}" if installed else f"{name}.py"


def counted(count: int, what: str) -> str:
    """A number and what is counted, in the plural unless it is one.

    >>> counted(1, "query"), counted(1000, "query"), counted(0, "file")
    ('1 query', '1,000 queries', '0 files')
    """
    if count != 1:
        what = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{count:,} {what}"


def nearest(name: Any, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that looks most like ``name`` or has its initials, if one does.

    >>> nearest("learnin_rate", ["lr_drop_epoch", "learning_rate"])
    'learning_rate'
    >>> nearest("lr", ["lr_drop_epoch", "learning_rate"])
    'learning_rate'
    """
    known = list(known)
    short_for = [n for n in known if "".join(w[:1] for w in n.split("_")) == name]
    if len(str(name)) > 1 and short_for:
        return short_for[0]
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return near[0] if near else None


def did_you_mean(
    name: Any,
    known: Iterable[str],
    *,
    cutoff: float = 0.6,
    otherwise: str = "",
    then: str = "",
) -> str:
    """``did you mean 'name'?`` or what is said ``otherwise``; ``then`` follows either.

    >>> did_you_mean("duk", ["duke", "msmt17"], then="there are two")
    "did you mean 'duke'? there are two"
    >>> did_you_mean("x", ["duke", "msmt17"], then="there are two")
    'there are two'
    """
    near = nearest(name, known, cutoff=cutoff)
    hint = otherwise if near is None else f"did you mean {near!r}?"
    return " ".join(filter(None, (hint, then)))


def unknown(what: str, name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """``unknown X 'nmae': did you mean 'name'?``; with no near miss all are named."""
    known = list(known)
    otherwise = otherwise or f"choose from {', '.join(known)}"
    hint = did_you_mean(name, known, otherwise=otherwise)
    return f"unknown {what} {short(name)}: {hint}"


def short(value: Any) -> str:
    """A value as Python writes it, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def printable(name: str) -> str:
    r"""A name with everything that cannot be seen spelt out.

    Line breaks, controls, marks that turn the direction of text, and bytes that are
    not UTF-8 (``surrogateescape``) become escapes as Python writes them; the rest is
    left as it is. For the eye only: a file is opened by its true name.

    >>> printable("caf\udce9 1\n.jpg")
    'caf\\xe9 1\\n.jpg'
    >>> printable("日本 é.jpg")
    '日本 é.jpg'
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]
