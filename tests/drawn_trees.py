"""Small trees of drawn noise, for tests of how folders and tables are read."""

import numpy as np
from PIL import Image


def picture(individual, number=0):
    own = np.random.default_rng(individual).integers(0, 255, (4, 2, 3))
    noise = np.random.default_rng(100 * individual + number).normal(0, 25, (64, 32, 3))
    values = np.kron(own, np.ones((16, 16, 1))) + noise
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def put(path, individual=0, number=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(individual, number).save(path, **options)
    return path


def who(images, labels, names=None):
    """Identity of each image by its name; of ``names``, where they are given."""
    numbers = labels.identities.tolist()
    if names is not None:
        numbers = [names[i - 1] if i > 0 else i for i in numbers]
    return dict(zip(images.names, numbers, strict=True))
