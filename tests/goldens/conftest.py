"""Scripts that make the goldens are run by hand, and some need torch."""

collect_ignore_glob = ["make_*.py"]
