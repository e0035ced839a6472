"""Streamed images are the decoded ones, bit for bit, whatever the threads."""

import numpy as np
import pytest
from PIL import Image

from fgu_jax.data import load_dataset
from fgu_jax.data.stream import StreamedImages, decoded_bytes, open_images
from fgu_jax.errors import InputError
from fgu_jax.parallel import machine


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(23):
        pixels = rng.integers(0, 256, (9, 7, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.jpg")
    return load_dataset("folder", data_dir=tmp_path).train


def test_it_looks_like_the_array(images):
    array, streamed = images.decode(8, 6), StreamedImages(images, 8, 6)
    assert streamed.shape == array.shape
    assert streamed.dtype == array.dtype
    assert streamed.ndim == array.ndim
    assert streamed.nbytes == array.nbytes == decoded_bytes(23, 8, 6)
    assert len(streamed) == len(array)
    for rows in (3, -1, slice(5, 9), slice(20, 40), np.array([4, 4, 0]), [2, 1]):
        np.testing.assert_array_equal(streamed[rows], array[rows])
    with pytest.raises(IndexError):
        streamed[23]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_batches_are_the_rows_of_the_array(images, threads):
    array, streamed = images.decode(8, 6), StreamedImages(images, 8, 6)
    order = np.random.default_rng(1).permutation(23)[:20].reshape(5, 4).astype(np.int32)
    got = list(streamed.batches(order, threads=threads, ahead=2))
    assert len(got) == 5
    for batch, rows in zip(got, order, strict=True):
        assert batch.dtype == np.uint8
        np.testing.assert_array_equal(batch, array[rows])
    assert list(streamed.batches(order[:0])) == []


def test_a_bad_image_is_named(images, tmp_path):
    (tmp_path / images.names[7]).write_bytes(b"")
    streamed = StreamedImages(images, 8, 6)
    with pytest.raises(InputError, match=rf"'{images.names[7]}'.*zero bytes"):
        list(streamed.batches(np.arange(20).reshape(5, 4)))
    with pytest.raises(InputError, match=images.names[7]):
        streamed[7]


def test_the_choice_is_by_free_memory_and_can_be_forced(images, monkeypatch):
    size = decoded_bytes(23, 8, 6)
    assert isinstance(open_images(images, 8, 6), np.ndarray)
    assert isinstance(open_images(images, 8, 6, stream="always"), StreamedImages)
    monkeypatch.setattr(machine, "free_memory", lambda: 2.0 * size)
    assert isinstance(open_images(images, 8, 6), np.ndarray)
    monkeypatch.setattr(machine, "free_memory", lambda: 2.0 * size - 1)
    assert isinstance(open_images(images, 8, 6), StreamedImages)
    assert isinstance(open_images(images, 8, 6, stream="never"), np.ndarray)


def test_prepared_images_stream_too(images, tmp_path):
    from fgu_jax.data.prepared.write import prepare

    prepare("folder", tmp_path, data_dir=tmp_path / ".data")
    prepared = load_dataset("folder", data_dir=tmp_path / ".data").train
    order = np.arange(20).reshape(5, 4)
    got = np.concatenate(list(StreamedImages(prepared, 8, 6).batches(order)))
    np.testing.assert_array_equal(got, images.decode(8, 6)[:20])
    assert type(prepared.source) is not type(images.source)
