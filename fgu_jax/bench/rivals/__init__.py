"""The same work written plainly, by others' tools: what a benchmark compares with."""

from typing import Any

from fgu_jax.bench.rivals import torch_losses


def plain_network(config: Any, variables: dict[str, Any]) -> Any:
    """The network of a configuration in PyTorch, with our weights.

    ``None`` where PyTorch is not installed, or the body is not written there.

    Args:
      config: of the run.
      variables: ``params`` and ``batch_stats`` of ``fgu_jax``.
    """
    if not torch_losses.available():
        return None
    from fgu_jax.bench.rivals import bodies, network

    if config.backbone not in bodies.KNOWN:
        return None
    plain = network.Network(
        config.backbone, config.num_patches, config.patch_dim, neck=config.neck
    )
    network.copy_weights(plain, variables)
    return plain
