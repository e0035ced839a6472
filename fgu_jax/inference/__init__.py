"""A trained network: built, read, run over images, exported."""
