"""What to type in a shell once a page's answers are saved."""

import shlex
from collections.abc import Mapping
from typing import Any

from fgu_jax.config.located import read_as
from fgu_jax.messages import command


def next_command(given: Mapping[str, Any]) -> str:
    """``cluster.py`` with what ``review.py`` was given, as far as it is known.

    >>> given = dict.fromkeys(("checkpoint", "names", "part", "distance"))
    >>> given |= {"features": "a b.npz", "pattern": "{identity}_*", "images": "photos"}
    >>> next_command(given | {"use_cameras": True, "ignore_tracks": False})[:56]
    "cluster.py --features='a b.npz' --pattern='{identity}_*'"

    Args:
      given: the values of ``review.py``'s flags.
    """
    labels = read_as(given["pattern"], given["images"])  # a table where it was found
    values = {**given, "pattern": labels["table"] or labels["pattern"]}
    network = given["checkpoint"] is not None
    if network:
        values["images"] = given["images"] or "FOLDER"
    flags = ["features", "names", "checkpoint", "part", "pattern", "distance"]
    said = [command("cluster")]
    for flag in flags + ["images"] * network:
        if values[flag] is not None:
            said.append(f"--{flag}={shlex.quote(str(values[flag]))}")
    if given["features"] is None and not network:
        said.append("...")
    switches = ["use_cameras", "ignore_tracks", *["skip_bad"] * network]
    said += [f"--{switch}" for switch in switches if given[switch]]
    return " ".join([*said, "--answers=answers.csv", "--output=clusters.csv"])
