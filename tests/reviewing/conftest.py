"""A review of made pictures, and its page in a browser."""

import browser as browsers
import numpy as np
import pytest
from PIL import Image
from review_page import CLUSTERS, HOSTILE, PICTURES, open_page

from fgu_jax import reviewing
from fgu_jax.clustering import Question
from fgu_jax.data import load_dataset
from fgu_jax.runs.answers import NONE


@pytest.fixture(scope="module")
def browser():
    opened = browsers.Browser()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for row in range(CLUSTERS * PICTURES - 1):
        colour = (row % 256, 90, 255 - row % 256)
        Image.new("RGB", (8, 16), colour).save(root / f"{row:03}.jpg")
    Image.new("RGB", (8, 16)).save(root / HOSTILE.replace("/", "|"), "JPEG")
    found = load_dataset("folder", data_dir=root).train
    order = sorted(range(len(found)), key=lambda row: found.names[row])
    return found.take(order)


def _question(first, second, within):
    others = ((first + 1,), (second - 1,))
    return Question(first, second, within, (2, 2), others, 0.3, 4.0)


@pytest.fixture(scope="module")
def review(images):
    """Clusters of four images in turn; eight questions, of which one follows."""
    pairs = [(0, 4, False), (4, 8, False), (0, 8, False), (12, 15, True)]
    pairs += [(16, 20, False), (24, 27, True), (28, 32, False), (40, 44, False)]
    return reviewing.Review(
        names=images.names,
        labels=np.arange(len(images)) // PICTURES,
        questions=[_question(*pair) for pair in pairs],
        typical=np.arange(CLUSTERS) * PICTURES,
        alike=[[(c + 1) % CLUSTERS] for c in range(CLUSTERS)],
        answers=NONE,
        cameras=["7"] * len(images),
        about="Pictures.",
        command="cluster.py --answers=answers.csv",
    )


@pytest.fixture
def opened(browser, review, images, tmp_path):
    return open_page(browser, review, images, tmp_path)
