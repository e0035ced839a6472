"""Images grouped by the colours at their edges."""

import numpy as np
import pytest
from small_run import SMALL_RUN

from fgu_jax.config import presets
from fgu_jax.training import backgrounds, loop
from fgu_jax.training.backgrounds import by_background, edge_colours


def _images(behind, count=12, height=24, width=16, seed=0):
    """uint8 [N, H, W, 3]: anybody in the middle, and a little noise all over."""
    draw = np.random.default_rng(seed)
    images = np.repeat(np.asarray(behind)[:, None, None, :], count, axis=0)
    images = np.tile(images, (1, height, width, 1)).astype(np.int32)
    middle = draw.integers(0, 256, (len(images), 1, 1, 3))
    images[:, :, 4:-4] = middle
    noise = draw.integers(-5, 6, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def test_edge_colours_as_one_would_count_them():
    images = np.random.default_rng(0).integers(0, 256, (3, 7, 17, 3), np.uint8)
    wanted = np.zeros((3, 3, 6, 6, 6))
    for image, counts in zip(images, wanted, strict=True):
        for y in range(7):
            third = 0 if y < 2 else 1 if y < 4 else 2
            for x in (0, 1, 15, 16):  # an eighth of 17 is 2
                r, g, b = (int(value) * 6 // 256 for value in image[y, x])
                counts[third, r, g, b] += 1
    wanted /= wanted.sum(axis=(2, 3, 4), keepdims=True)
    found = edge_colours(images)
    assert found.dtype == np.float32
    wanted = np.sqrt(wanted / 3).reshape(3, -1)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_groups_are_of_what_is_behind_and_not_of_who_is_in_the_middle():
    behind = [(20, 20, 20), (230, 40, 40), (40, 230, 230)]
    images = _images(behind)
    mixed = np.random.default_rng(1).permutation(len(images))
    groups = by_background(images[mixed], 3, seed=0)
    assert groups.dtype == np.int32
    place = np.repeat(np.arange(3), 12)[mixed]
    assert len({*zip(groups.tolist(), place.tolist(), strict=True)}) == 3


def test_images_beyond_those_learnt_from_go_to_the_nearest(monkeypatch):
    images = _images([(20, 20, 20), (230, 40, 40)])
    mixed = np.random.default_rng(1).permutation(len(images))
    wanted = by_background(images[mixed], 2, seed=0)
    monkeypatch.setattr(backgrounds, "_LEARNT", 8)
    monkeypatch.setattr(backgrounds, "_BLOCK", 5)
    np.testing.assert_array_equal(by_background(images[mixed], 2, seed=0), wanted)


@pytest.mark.parametrize("count", [1, 3])
def test_images_alike_are_as_many_groups_as_asked_for(count):
    groups = by_background(_images([(9, 9, 9)], count=3), count, seed=0)
    assert len(set(groups.tolist())) == count


def test_fewer_groups_than_asked_for_are_told(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 16, 3), np.uint8)
    run = {**SMALL_RUN, "backgrounds": 5, "epochs": 0, "workdir": str(tmp_path)}
    loop.fit(presets.resolve(run), images)
    said = "warning: backgrounds is 5 of 32 images: 4 groups are made, of 8 images"
    assert said in " ".join(capsys.readouterr().out.split())
