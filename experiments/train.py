"""Trains a re-identification network without labels; every flag is a config field."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.train import parser, train

if __name__ == "__main__":
    main(train, parser())
