"""Writes ``tiny.pth`` and ``tiny_legacy.pth``, files of the real ``torch.save``.

    python tests/goldens/make_torch_files.py

Needs torch; the tests that read the files do not.
"""

from pathlib import Path

import torch

HERE = Path(__file__).parent


def main() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, bias=False), torch.nn.BatchNorm2d(3)
    )
    state = network.state_dict()
    state["0.weight"] = torch.arange(54.0).reshape(3, 2, 3, 3)
    base = torch.arange(12)
    state["transposed"] = base.reshape(3, 4).t()
    state["shared"] = base[5:8]
    state["half"] = torch.tensor([0.5, -2.0], dtype=torch.float16)
    state["bfloat16"] = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.bfloat16))
    state["double"] = torch.tensor([], dtype=torch.float64)
    state["flags"] = torch.tensor([True, False])
    state = {f"module.{name}": value for name, value in state.items()}
    whole = {"epoch": 3, "best": 0.25, "state_dict": state, "sizes": torch.Size([1, 2])}
    torch.save(whole, HERE / "tiny.pth")
    legacy = HERE / "tiny_legacy.pth"
    torch.save(whole, legacy, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
