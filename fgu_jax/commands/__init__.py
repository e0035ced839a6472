"""Bodies of the commands, as ``experiments/NAME.py`` and ``fgu-jax NAME`` run them."""
