"""A command of its own, outside both suites."""

collect_ignore_glob = ["*.py"]
