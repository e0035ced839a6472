"""Re-identification without labels: fused-grain feature learning in JAX."""
from fgu_jax._version import __version__ as __version__
