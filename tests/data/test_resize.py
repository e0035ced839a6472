"""Images squashed to their size, or kept in proportion with grey beside."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from small_run import SMALL_RUN

import fgu_jax
from fgu_jax.config import presets
from fgu_jax.data import load_dataset
from fgu_jax.data.decode import decode_image, resized
from fgu_jax.data.given import sized


def png(width, height, colour=(200, 10, 90)):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((40, 10), slice(6, 10), slice(0, 16)),  # wide: grey above and below
        ((10, 40), slice(0, 16), slice(6, 10)),
        ((30, 30), slice(0, 16), slice(0, 16)),
    ],
)
def test_pad_keeps_the_proportions(size, rows, columns):
    image = decode_image(png(*size), 16, 16, resize="pad")
    wanted = np.full((16, 16, 3), 127, np.uint8)
    wanted[rows, columns] = (200, 10, 90)
    np.testing.assert_array_equal(image, wanted)
    squashed = decode_image(png(*size), 16, 16)
    assert (squashed == (200, 10, 90)).all()


def test_a_box_is_padded_as_the_picture_of_its_pixels_is():
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (40, 60, 3), np.uint8))
    file = io.BytesIO()
    picture.save(file, "PNG")
    box = (5.0, 8.0, 45.0, 28.0)
    found = decode_image(file.getvalue(), 24, 24, box=box, resize="pad")
    cut = picture.crop(tuple(map(int, box)))
    np.testing.assert_array_equal(found, np.asarray(resized(cut, 24, 24, "pad")))
    np.testing.assert_array_equal(found[:6], 127)
    assert (found[6:18] != 127).any()


def test_every_kind_of_image_comes_to_its_size_alike(tmp_path):
    (tmp_path / "a.png").write_bytes(png(40, 10))
    array = np.asarray(Image.open(tmp_path / "a.png"))
    kinds = (tmp_path / "a.png", array, Image.open(tmp_path / "a.png"))
    found = [sized(kind, 16, 16, what="it", resize="pad") for kind in kinds]
    images = load_dataset("folder", data_dir=tmp_path).train
    images = dataclasses.replace(images, resize="pad")
    found += [images.decode(16, 16)[0], images.decode_row(0, 16, 16)]
    found += [images.take([0]).decode(16, 16)[0]]
    for each in found:
        np.testing.assert_array_equal(each, found[0])
    assert (found[0][0] == 127).all()


def test_a_run_that_pads_embeds_as_it_learnt(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(12):
        (folder / f"{k}.png").write_bytes(png(60, 20, (20 * k, 200 - 10 * k, 90)))
    config = presets.resolve(
        {
            **SMALL_RUN,
            "dataset": "folder",
            "data_dir": str(folder),
            "workdir": str(tmp_path / "run"),
            "resize": "pad",
        }
    )
    fgu_jax.fit(config, quiet=True)
    network = fgu_jax.load(tmp_path / "run")
    images = load_dataset("folder", data_dir=folder).train
    by_set = network.of_set(images, ("fused",))["fused"]
    padded = dataclasses.replace(images, resize="pad").decode(*network.size)
    np.testing.assert_array_equal(by_set, network(padded))
    paths = [folder / name for name in images.names]
    np.testing.assert_array_equal(by_set, network(paths))
    assert not np.allclose(by_set, network(images.decode(*network.size)), atol=1e-3)
