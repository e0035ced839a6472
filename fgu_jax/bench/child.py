"""A process that does one piece of work once, and says what memory it took."""

import json
import sys

from fgu_jax.bench import piece
from fgu_jax.bench.measure import weigh
from fgu_jax.bench.sizes import SIZES


def main() -> None:
    """Reads ``[piece, sizes, number, who]`` as JSON, prints the peak as JSON."""
    name, sizes, number, who = json.loads(sys.stdin.read())
    work = piece(name).works(SIZES[name](**sizes))[number]
    print(json.dumps(weigh(work, who)))


if __name__ == "__main__":
    main()
