"""Decoded images on the disk, so that large pictures are decoded once."""
