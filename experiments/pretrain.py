"""Trains a network with labels of a source dataset: a start for train.py's --init."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.pretrain import parser, pretrain

if __name__ == "__main__":
    main(pretrain, parser())
