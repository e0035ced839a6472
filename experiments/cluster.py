"""Clusters the images of any folder with a trained network."""

from fgu_jax.commands.cluster import cluster, parser
from fgu_jax.commands.command_line import main

if __name__ == "__main__":
    main(cluster, parser())
