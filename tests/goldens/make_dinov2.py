"""Writes ``dinov2.npz``: what timm's DINOv2 computes with seeded weights, in float64.

    python tests/goldens/make_dinov2.py [--whole]

Needs torch and timm; the test that reads the file does not. ``--whole`` writes nothing:
it compares both whole networks, at every size, with ours in float32, in minutes.
"""

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from seeded import array, images

SIZES = ((518, 518), (224, 224), (224, 112))
SHALLOW = 2  # blocks; of S/14, and the images are few, for the sake of the test
NAMES = {
    "dinov2_vits14": "vit_small_patch14_dinov2",
    "dinov2_vitb14": "vit_base_patch14_dinov2",
}
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def original(name: str, depth: int) -> torch.nn.Module:
    """timm's module, of any size of images, with weights by the names of its arrays."""
    network = timm.create_model(
        NAMES[name], depth=depth, dynamic_img_size=True, pretrained=False
    )
    network = network.double().eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    state = {key: torch.from_numpy(array(key, of)) for key, of in shapes.items()}
    network.load_state_dict(state)
    return network


def tokens(network: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Class tokens after the last norm of images ``[B,H,W,3]`` in 0..1."""
    x = torch.from_numpy(((pixels - MEAN) / STD).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        return network.forward_features(x)[:, 0].numpy()


def pictures(height: int, width: int) -> np.ndarray:
    """Two images of a size, seeded; their blocks of 8 do not end with the image."""
    return images(2, -(-height // 8) * 8, -(-width // 8) * 8)[:, :height, :width]


def compare_whole() -> None:
    import jax
    from safetensors.torch import save_file

    from fgu_jax.networks import GlobalNetwork
    from fgu_jax.networks.backbones import find_embedding
    from fgu_jax.networks.weights import load_initial

    for name in NAMES:
        network = original(name, 12)
        path = Path(f"{name}.safetensors")
        state = {k: v.float().contiguous() for k, v in network.state_dict().items()}
        save_file(state, path)
        for height, width in SIZES:
            x = pictures(height, width).astype(np.float32)
            ours = GlobalNetwork(name)
            start = jax.eval_shape(
                lambda key, x, ours=ours: ours.init(key, x, train=False),
                jax.random.key(0),
                x,
            )
            variables, _ = load_initial(str(path), name, start)
            whole = jax.jit(lambda v, x, ours=ours: ours.apply(v, x, train=False))
            features = np.asarray(whole(variables, x).global_features)
            spec = find_embedding(name)
            inner = {"params": variables["params"]["backbone"]}
            normal = ((x - MEAN) / STD).astype(np.float32)
            token = np.asarray(jax.jit(spec.make().apply)(inner, normal))
            wanted = tokens(network, x.astype(np.float64))
            unit = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
            apart, of_unit = np.abs(token - wanted).max(), np.abs(features - unit).max()
            print(
                f"{name} {height} x {width}: token {apart:.2g} of "
                f"{np.abs(wanted).max():.2g}, unit {of_unit:.2g}",
                flush=True,
            )
        path.unlink()


def main() -> None:
    if "--whole" in sys.argv:
        compare_whole()
        return
    network = original("dinov2_vits14", SHALLOW)
    goldens = {
        f"{height}x{width}": tokens(network, pictures(height, width)).astype(np.float32)
        for height, width in SIZES
    }
    path = Path(__file__).parent / "dinov2.npz"
    np.savez_compressed(path, **goldens)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
