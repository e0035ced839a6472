"""The step on 1, 2, 4, 8 simulated devices: the same results, and what is sent.

Devices are simulated on one CPU in a process for each count: seconds say nothing of
real ones, results and bytes do.
"""

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

from fgu_jax.bench.machine import Rates
from fgu_jax.bench.measure import Options, Progress, close, spread
from fgu_jax.bench.sizes import Scale
from fgu_jax.errors import InputError


def run(
    sizes: Scale, rates: Rates, options: Options, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """A row for each number of devices."""
    counts = [1]
    while 2 * counts[-1] <= sizes.most_devices:
        counts.append(2 * counts[-1])
    if sizes.batch % counts[-1]:
        raise InputError(
            f"batch {sizes.batch} is not divisible by {counts[-1]} devices: change it, "
            "or --most_devices"
        )
    rows: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    for number, count in enumerate(counts):
        if progress is not None:
            progress(number, len(counts), "scale")
        found = _in_a_process(sizes, count)
        first = first or found
        for key in ("losses", "cluster_memory", "patch_memory"):
            close(found[key], first[key], f"{key} on {count} devices", atol=1e-4)
        sent, predicted = found["sent"], found["predicted"]
        notes = [
            f"{kind} {sent.get(kind, 0):,} bytes, the design predicts {expected:,}"
            for kind, expected in predicted.items()
            if count > 1
        ]
        rows.append(
            {
                "what": f"{count} simulated devices, {sizes.backbone}, batch "
                f"{sizes.batch}",
                "checked": "losses and tables as on one device"
                if count > 1
                else f"losses {', '.join(f'{x:.5f}' for x in found['losses'])}",
                "floor_seconds": 0.0,
                "over_floor": None,
                "rivals": {},
                "notes": notes,
                "bytes_sent": sent if count > 1 else {},
                "bytes_predicted": predicted if count > 1 else {},
                **spread(found["seconds"]),
            }
        )
    return rows


def _in_a_process(sizes: Scale, count: int) -> dict[str, Any]:
    flags = f"--xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [sys.executable, "-m", "fgu_jax.bench.scale_child"],
        input=json.dumps([dataclasses.asdict(sizes), count]),
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise InputError(f"{count} devices failed: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])
