"""Retrieval figures of a trained network: global, local and fused features."""

from fgu_jax.commands.command_line import main
from fgu_jax.commands.evaluate import evaluate, parser

if __name__ == "__main__":
    main(evaluate, parser())
