"""The pieces that ``bench.py`` measures, one a module."""
