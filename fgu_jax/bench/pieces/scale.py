"""The step on 1, 2, 4, 8 simulated devices: the same results, and what is sent.

Devices are simulated on one CPU in a process for each count: seconds say nothing of
real ones, results and bytes do.
"""

import dataclasses
from typing import Any

from fgu_jax.bench.machine import Rates
from fgu_jax.bench.measure import close, in_a_process, plain_row
from fgu_jax.bench.sizes import Scale
from fgu_jax.errors import InputError
from fgu_jax.progress import Progress


def rows(
    sizes: Scale, rates: Rates, progress: Progress | None = None
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
    made = []
    first: dict[str, Any] = {}
    for number, count in enumerate(counts):
        if progress is not None:
            progress(number, len(counts), "scale")
        found = in_a_process(
            "pieces.scale_child",
            [dataclasses.asdict(sizes), count],
            f"{count} simulated devices",
            JAX_PLATFORMS="cpu",
            XLA_FLAGS=f"--xla_force_host_platform_device_count={count}",
        )
        first = first or found
        for key in ("losses", "cluster_memory", "patch_memory"):
            close(found[key], first[key], f"{key} on {count} devices", atol=1e-4)
        sent, predicted = found["sent"], found["predicted"]
        checked = "losses and tables as on one device"
        if count == 1:
            sent, predicted = {}, {}
            checked = f"losses {', '.join(f'{x:.5f}' for x in found['losses'])}"
        made.append(
            plain_row(
                f"{count} simulated devices, {sizes.backbone}, batch {sizes.batch}",
                checked,
                found["seconds"],
                notes=[
                    f"{kind} {sent.get(kind, 0):,} bytes, the design predicts {most:,}"
                    for kind, most in predicted.items()
                ],
                bytes_sent=sent,
                bytes_predicted=predicted,
            )
        )
    return made
