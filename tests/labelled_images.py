"""A dataset of a few noisy images with the identities that a test gives them."""

import numpy as np
from PIL import Image

from fgu_jax.data import Dataset, ImageSet, Labels
from fgu_jax.data.images import FolderSource


def labelled(folder, identities):
    """Images of 32 x 16 in a folder, the first of ``identities[0]`` and so on."""
    rng = np.random.default_rng(0)
    names = tuple(f"{k}.png" for k in range(len(identities)))
    for name in names:
        pixels = rng.integers(0, 256, (32, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return Dataset(
        name="made",
        train=ImageSet(names=names, keys=names, source=FolderSource(folder)),
        train_labels=Labels(identities=np.array(identities), cameras=None),
    )
