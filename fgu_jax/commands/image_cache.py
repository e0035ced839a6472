"""Which cache of decoded images a command uses: the flags, the environment, or its own.

``keep_decoded`` is for images what ``compiled_cache.keep_compiled`` is for programs.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fgu_jax import user_cache
from fgu_jax.data.decoded.cache import DecodedCache
from fgu_jax.data.decoded.once import using
from fgu_jax.errors import InputError

NONE = "none"
VARIABLE = "FGU_IMAGE_CACHE"
GIB = 4.0
"""What the images may take unless ``--image_cache_gib`` says otherwise."""


@contextlib.contextmanager
def keep_decoded(choice: str | None, gib: float | None) -> Iterator[None]:
    """Has large pictures decoded once, within; in the end says what came of it.

    Args:
      choice: a folder, made if it is not there; ``none``; or ``None`` for
        ``$FGU_IMAGE_CACHE``, which says either, else a folder of the user below
        ``$XDG_CACHE_HOME`` (``~/.cache``), where there can be one.
      gib: the most that it may take; ``None``: ``GIB``.

    Raises:
      InputError: a folder was asked for that cannot be made, or no room at all.
    """
    cache = _chosen(choice, GIB if gib is None else gib)
    try:
        with using(cache):
            yield
    finally:
        told = cache.lines() if cache is not None else []
        if told and _is_first():
            print(*told, sep="\n")


def _chosen(choice: str | None, gib: float) -> DecodedCache | None:
    if not 0 < gib < float("inf"):
        raise InputError(f"image_cache_gib is {gib:g}: give more than 0, or none")
    named = choice or os.environ.get(VARIABLE)
    if named == NONE:
        return None
    limit = int(gib * 2**30)
    if not named:
        try:
            return DecodedCache(user_cache.own_folder("images"), limit, above=1)
        except RuntimeError:  # a user may have no home
            return None
    folder = Path(named).absolute()
    try:
        user_cache.make_private(folder)
    except OSError as error:
        raise InputError(
            f"image_cache is {named!r}: {error}; give a folder or {NONE!r}"
        ) from None
    return DecodedCache(folder, limit)


def _is_first() -> bool:
    """Whether this process is the one of several that speaks."""
    from fgu_jax.parallel import processes

    return processes.is_first()
