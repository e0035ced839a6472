"""Images to features by PyTorch and by ONNX Runtime, for comparison only."""

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def by_torch(network: Any, images: np.ndarray, block: int) -> Callable[[], np.ndarray]:
    """The evaluation pass as a PyTorch user writes it, block after block.

    Args:
      network: of ``plain_network``.
      images: uint8 [N, H, W, 3].
      block: images at once; divides N.
    """
    import torch

    from fgu_jax.bench.rivals import bodies

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = bodies.layout_of(network, device)
    network.to(device, memory_format=layout).eval()
    pixels = torch.from_numpy(images)

    @torch.inference_mode()
    def work() -> np.ndarray:
        out = []
        for rows in pixels.split(block):
            x = rows.to(device).permute(0, 3, 1, 2).float() / 255
            out.append(network(x.contiguous(memory_format=layout))[0].cpu())
        return torch.cat(out).numpy()

    return work


def by_onnx(
    network: Any, images: np.ndarray, block: int
) -> Callable[[], np.ndarray] | None:
    """The PyTorch network in ONNX Runtime; None where it or ``onnx`` is missing.

    Args:
      network, images, block: as of ``by_torch``.
    """
    needed = ("onnxruntime", "onnx", "onnxscript")
    if any(importlib.util.find_spec(name) is None for name in needed):
        return None
    import logging
    import warnings

    import onnxruntime
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    example = torch.zeros(block, 3, *images.shape[1:3])
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "network.onnx")
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                network, (example,), file, input_names=["images"], verbose=False
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )

    def work() -> np.ndarray:
        out = []
        for start in range(0, len(images), block):
            x = images[start : start + block].transpose(0, 3, 1, 2)
            x = np.ascontiguousarray(x, np.float32) / np.float32(255)
            out.append(session.run(None, {"images": x})[0])
        return np.concatenate(out)

    return work
