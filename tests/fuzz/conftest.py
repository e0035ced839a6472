"""The fuzzer is a command; ``tests/test_fuzz.py`` calls it."""

collect_ignore_glob = ["*.py"]
