"""A finished run as the report takes it, made of drawn arrays."""

import numpy as np

from fgu_jax import report
from fgu_jax.config import presets
from fgu_jax.data import Labels

HOSTILE = "a<script>alert('1')</script>&\"\n\udce9.jpg"


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def side(rng, count, width, prefix):
    return report.Ranked(
        names=tuple(f"{prefix}{i}.jpg" for i in range(count)),
        images=rng.integers(0, 255, (count, 16, 8, 3), np.uint8),
        features=unit(rng.normal(size=(count, width))),
        labels=Labels(
            identities=np.arange(count) % 4 + 1, cameras=np.arange(count) // 4 % 3
        ),
    )


def history(epochs, *, evaluated):
    figures = {
        f"{part}_{name}": 0.5
        for part in ("fused", "global", "local", "histogram")
        for name in ("rank1", "rank5", "rank10", "mAP", "mINP")
    }
    history = [{"epoch": 0, "clusters": 8} | (figures if evaluated else {})]
    for epoch in range(1, epochs + 1):
        record = {"epoch": epoch, "loss": 2.0 / epoch, "loss_repelled": 1.0}
        record |= {"loss_attracted": 0.0, "loss_patch": 0.5, "clusters": 8 - epoch}
        record |= {"merged": True} if epoch == 2 else {}
        if evaluated:
            record |= figures | {"purity": 0.9, "nmi": 0.8}
        history.append(record)
    return history


def report_data(
    count=8, *, labels=True, retrieval=True, epochs=2, evaluated=True, **changes
):
    rng = np.random.default_rng(0)
    fields = {
        "config": presets.resolve({"dataset": "synthetic"}),
        "history": history(epochs, evaluated=evaluated),
        "names": (HOSTILE, *(f"{i}.jpg" for i in range(1, count))),
        "images": rng.integers(0, 255, (count, 16, 8, 3), np.uint8),
        "clusters": np.arange(count) // 3,
        "patches": unit(rng.normal(size=(2, count, 4))),
        "global_features": unit(rng.normal(size=(count, 6))),
    }
    if labels:
        fields["train_labels"] = Labels(identities=np.arange(count) // 2, cameras=None)
    if retrieval:
        fields["retrieval"] = report.Retrieval(
            query=side(rng, 5, 14, "q"), gallery=side(rng, 24, 14, "g")
        )
    return report.ReportData(**(fields | changes))
