"""Eight simulated devices, and strictness that a user's machine need not have."""

import os
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
# Runs of the same shape compile once for the whole session; the workers of a parallel
# session inherit the folder.
if "FGU_TEST_CACHE" not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="fgu-compiled-")
    os.environ["FGU_TEST_CACHE"] = _folder.name

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ["FGU_TEST_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
