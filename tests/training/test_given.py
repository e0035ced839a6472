"""Images as people have them in Python: one and the same, whatever holds them."""

import io

import numpy as np
import pytest
from drawn_trees import picture, put
from PIL import Image

from fgu_jax.config import presets
from fgu_jax.data import given
from fgu_jax.errors import InputError
from fgu_jax.training.images import open_data

RGB = np.asarray(picture(3))


class Column:
    """As a column of a data frame is."""

    def __init__(self, values):
        self.values = values

    def to_list(self):
        return list(self.values)


@pytest.mark.parametrize(
    "image",
    [
        RGB,
        RGB.astype(np.float32) / 255,
        RGB.transpose(2, 0, 1),
        RGB.transpose(2, 0, 1).astype(np.float64) / 255,
        np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)]),
        Image.fromarray(RGB),
        Image.fromarray(RGB).convert("RGBA"),
    ],
)
def test_every_kind_is_the_same_image(image):
    np.testing.assert_array_equal(given.sized(image, 64, 32, what="image 0"), RGB)


def test_grey_arrays_paths_and_other_sizes(tmp_path):
    grey = RGB[..., :1]
    for each in (grey, grey[..., 0], grey.transpose(2, 0, 1)):
        found = given.sized(each, 64, 32, what="image 0")
        np.testing.assert_array_equal(found, np.repeat(grey, 3, axis=2))
    path = put(tmp_path / "a.png", 3)
    for each in (path, str(path)):
        np.testing.assert_array_equal(given.sized(each, 64, 32, what="x"), RGB)
    small = given.sized(picture(3), 16, 8, what="x")
    np.testing.assert_array_equal(
        small, np.asarray(picture(3).resize((8, 16), Image.Resampling.BILINEAR))
    )


@pytest.mark.parametrize(
    ("images", "count"),
    [
        ([RGB, RGB[:9]], 2),
        ((RGB,), 1),
        ((image for image in [RGB, RGB]), 2),
        (Column([RGB]), 1),
        (np.stack([RGB, RGB]), 2),
        (np.stack([RGB, RGB])[..., 0], 2),
        (RGB, 1),
        (RGB[..., 0], 1),
        (picture(1), 1),
        ("a.png", 1),
        (np.array(["a.png", "b.png"]), 2),
    ],
)
def test_whatever_holds_them(images, count):
    assert len(given.as_list(images)) == count


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (RGB.astype(int), r"image 0 is int64\[64, 32, 3\]: give a path"),
        (RGB.astype(np.float32), r"float32 of .*: give uint8, or floating point"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4, 7), np.uint8), r"uint8\[4, 4, 7\]: give"),
        (None, "image 0 is NoneType: give a path"),
        (b"bytes of a file", "image 0 is bytes: give a path"),
        (io.BytesIO(b"x"), "image 0 is BytesIO: give a path"),
        ((RGB, 7), "image 0 is tuple, which is no array"),
        (".", "'.' is a folder: list its files"),
        ("nowhere.png", "cannot be read: No such file"),
        (np.full((4, 4), np.nan, np.float32), "of nan to nan"),
    ],
)
def test_what_cannot_be_taken_is_one_line(image, message):
    with pytest.raises(InputError, match=message) as caught:
        given.sized(image, 8, 4, what="image 0")
    assert "\n" not in str(caught.value)


def test_training_takes_them_too():
    config = presets.resolve({"dataset": "synthetic"})
    opened = open_data(config, iter([RGB, picture(4), RGB[:20]]), None)
    assert opened.images.shape == (3, 64, 32, 3)
    np.testing.assert_array_equal(opened.images[0], RGB)
    with pytest.raises(InputError, match="images are int: give a list"):
        open_data(config, 7, None)
    same = np.stack([RGB])
    assert open_data(config, same, None).images is same


def test_what_has_no_order_is_refused():
    for images in ({"a": RGB}, {"a.png", "b.png"}):
        with pytest.raises(InputError, match="give a list, whose order rows keep"):
            given.as_list(images)


def test_what_is_asked_by_number_alone_is_a_list():
    class Crops:
        def __getitem__(self, row):
            return [RGB, RGB[:20]][row]

    assert [image.shape for image in given.as_list(Crops())] == [
        (64, 32, 3),
        (20, 32, 3),
    ]


def test_an_array_of_another_library_that_refuses_is_one_line():
    class OnAnotherDevice:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("copy it to the host first\nand more")

    for refused in (given.as_list, lambda x: given.sized(x, 8, 4, what="image 0")):
        with pytest.raises(InputError, match="no array .copy it to the host first.:"):
            refused(OnAnotherDevice())
