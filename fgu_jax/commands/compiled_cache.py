"""Compiled programs kept from one start of a command to the next, by JAX's own cache.

What is kept is machine code that a later start runs, so the folder is private to its
user: one that others may write to is left alone.
"""

import hashlib
import os
import platform
from pathlib import Path

from fgu_jax import user_cache
from fgu_jax.errors import InputError
from fgu_jax.parallel.machine import told

NONE = "none"
_SETTING = "jax_compilation_cache_dir"
_SECONDS = 0.5  # programs that compile faster are not worth a file


def keep_compiled(choice: str | None = None) -> Path | None:
    """Has JAX keep what it compiles from here on; results are the same without.

    Args:
      choice: a folder, made if it is not there; ``none``; or ``None`` for
        ``$JAX_COMPILATION_CACHE_DIR`` where that is set, else a folder of the user
        below ``$XDG_CACHE_HOME`` (``~/.cache``), where there can be one.

    Returns:
      The folder, or ``None`` where nothing is kept.

    Raises:
      InputError: a folder was asked for that cannot be written.

    >>> keep_compiled("none") is None
    True
    """
    import jax

    if choice == NONE:
        jax.config.update(_SETTING, None)
        return None
    named = getattr(jax.config, _SETTING)
    if choice is None and named:
        return Path(named)
    try:
        folder = Path(choice).absolute() if choice else _own_folder()
        user_cache.make_private(folder, above=2)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{str(folder)!r} is not writable")
    except (OSError, RuntimeError) as error:  # a user may have no home
        if choice:
            raise InputError(
                f"compilation_cache is {choice!r}: {error}; give a folder or {NONE!r}"
            ) from None
        return None
    if not choice and not user_cache.is_private(folder, above=2):
        return None
    jax.config.update(_SETTING, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS)
    return folder


def _own_folder() -> Path:
    """Of this user and this kind of processor: code for another may not run here."""
    said = platform.machine() + platform.processor() + told("/proc/cpuinfo", "flags")
    kind = hashlib.sha256(said.encode()).hexdigest()[:12]
    return user_cache.own_folder("xla", kind)
