"""Drawn pedestrians, seen by several cameras, in Market-1501's own layout."""
