"""Encoded bytes of every kind to upright 8-bit RGB, or a reason."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fgu_jax.data import decode
from fgu_jax.data.decode import UnreadableImage, decode_image
from fgu_jax.data.kinds import is_picture


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gradient(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 0 * x + 90], -1).astype(
        np.uint8
    )


def test_rgb_png_of_the_asked_size_is_untouched():
    pixels = gradient(6, 4)
    got = decode_image(encode(Image.fromarray(pixels)), 6, 4)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, pixels)


def test_enlarging_is_linear_between_pixel_centres():
    pixels = np.array([[0, 100]], np.uint8)[..., None].repeat(3, -1)
    got = decode_image(encode(Image.fromarray(pixels)), 1, 4)
    np.testing.assert_array_equal(got[0, :, 0], [0, 25, 75, 100])


def test_shrinking_averages_and_does_not_alias():
    stripes = np.zeros((8, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    got = decode_image(encode(Image.fromarray(stripes)), 8, 8)
    assert np.ptp(got[:, 1:-1].astype(int)) < 30
    assert abs(got.mean() - 100) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation):
    upright = np.zeros((2, 3, 3), np.uint8)
    upright[..., 0] = [[10, 60, 110], [160, 210, 250]]
    # How the camera stored it, from the definition of the tag (row 0 is, column 0 is).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(decode_image(data, 2, 3), upright)


def test_a_large_jpeg_with_rotation_is_shrunk_while_decoded():
    pixels = gradient(600, 1000)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.fromarray(pixels), "JPEG", exif=exif, quality=95)
    want = np.rot90(np.asarray(Image.fromarray(pixels).resize((10, 6))), -1)
    got = decode_image(data, 10, 6)
    assert np.abs(got.astype(int) - want).max() < 12


def test_grey_cmyk_palette_and_bits():
    grey = np.array([[0, 77, 255]], np.uint8)
    want = grey[..., None].repeat(3, -1)
    np.testing.assert_array_equal(
        decode_image(encode(Image.fromarray(grey)), 1, 3), want
    )
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode_image(encode(deep, kind), 1, 3), want)
    bits = Image.fromarray(grey > 100)
    got = decode_image(encode(bits), 1, 3)[0, :, 0]
    np.testing.assert_array_equal(got, [0, 0, 255])
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    got = decode_image(encode(red, "JPEG", quality=95), 8, 8).reshape(-1, 3)
    assert (np.abs(got.astype(int) - [255, 0, 0]) < 8).all()
    palette = Image.new("P", (2, 1))
    palette.putpalette([1, 2, 3, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    got = decode_image(encode(palette), 1, 2).tolist()
    assert got == [[[1, 2, 3], [200, 100, 50]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (40, 40, 40, 255))
    if mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([0, 0, 0, 40, 40, 40])
        image.putpixel((1, 0), 1)
        data = encode(image, transparency=0)
    else:
        data = encode(image.convert(mode))
    got = decode_image(data, 1, 2)
    np.testing.assert_array_equal(got[0, :, 0], [255, 40])


def test_one_pixel():
    data = encode(Image.new("RGB", (1, 1), (9, 8, 7)))
    got = decode_image(data, 5, 3)
    np.testing.assert_array_equal(got, np.broadcast_to([9, 8, 7], (5, 3, 3)))


def png_header(width, height, kind=2, bits=8, rows=b"\0" * 99):
    def chunk(kind, body):
        checked = kind + body
        return (
            struct.pack(">I", len(body))
            + checked
            + struct.pack(">I", zlib.crc32(checked))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("side", "limit"),
    [(6400, "40,000,000"), (11000, "40,000,000"), (50_000, "40,000,000")],
)
def test_huge_pictures_are_refused_by_their_header(side, limit):
    tracemalloc.start()
    with pytest.raises(UnreadableImage, match=f"over the limit of {limit}"):
        decode_image(png_header(side, side), 8, 8)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize(("kind", "alpha"), [(2, b""), (6, b"\xff\xff")])
def test_colour_of_twelve_bits_in_sixteen_is_refused_and_not_black(kind, alpha):
    def png(value):
        rows = b"\0" + struct.pack(">3H", value, value, value) + alpha
        return png_header(1, 1, kind, bits=16, rows=rows)

    assert decode_image(png(200 * 257), 1, 1).tolist() == [[[200, 200, 200]]]
    with pytest.raises(UnreadableImage, match="lowest 12 alone are used"):
        decode_image(png(4000), 1, 1)


def test_shares_of_white_may_overshoot():
    shares = np.array([[0.0, 0.5, 1.0, 1.02]], np.float32)
    got = decode_image(encode(Image.fromarray(shares), "TIFF"), 1, 4)
    np.testing.assert_array_equal(got[0, :, 0], [0, 128, 255, 255])


def test_a_huge_jpeg_is_shrunk_while_it_is_decoded():
    huge = Image.new("L", (12_000, 9_000), 80)
    got = decode_image(encode(huge, "JPEG"), 38, 50)
    np.testing.assert_array_equal(got, np.full((38, 50, 3), 80))
    for options in ({"progressive": True}, {}):  # all of its coefficients; all of it
        side = 50 if options else 5_000
        with pytest.raises(UnreadableImage, match="over the limit of 53,333,333: make"):
            decode_image(encode(huge, "JPEG", **options), side, side)
    with pytest.raises(UnreadableImage, match="over the limit of 160,000,000"):
        decode_image(encode(Image.new("L", (13_000, 13_000)), "JPEG"), 8, 8)


def test_transparent_pictures_may_be_a_quarter_as_large():
    data = png_header(3300, 3300, kind=6)
    with pytest.raises(UnreadableImage, match="over the limit of 10,000,000"):
        decode_image(data, 8, 8)


def test_damaged_files_are_refused():
    good = encode(Image.fromarray(gradient(64, 32)), "JPEG")
    bad = {
        b"": "zero bytes",
        good[: len(good) // 2]: "(?i)truncated",
        b"not a picture": "not a picture",
        encode(Image.new("F", (1, 1), 1e9), "TIFF"): "16 bits",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n": "not a picture",
    }
    for data, reason in bad.items():
        with pytest.raises(UnreadableImage, match=reason):
            decode_image(data, 8, 8)


def test_a_file_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(decode, "MAX_BYTES", 10)
    with pytest.raises(UnreadableImage, match="over the limit of 10"):
        decode_image(b"x" * 11, 8, 8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_lose_the_picture():
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
    data = encode(Image.new("RGB", (8, 8), (80, 80, 80)), "JPEG", exif=exif)
    assert abs(int(decode_image(data, 4, 4).mean()) - 80) < 3


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_a_reason_and_never_another_error(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
    whole = bytearray(encode(Image.fromarray(gradient(12, 9)), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        image = decode_image(bytes(whole[:cut]), 6, 5)
    except UnreadableImage:
        return
    assert image.shape == (6, 5, 3)
    assert image.dtype == np.uint8


def test_a_camera_with_two_lenses_gives_its_first_picture():
    # MPO: a JPEG with more of them behind it.
    red, blue = (Image.new("RGB", (8, 8), c) for c in ("red", "blue"))
    data = encode(red, "MPO", save_all=True, append_images=[blue])
    got = decode_image(data, 8, 8).reshape(-1, 3).mean(0)
    assert np.abs(got - [255, 0, 0]).max() < 8


def test_endings():
    assert is_picture("a/b.JPG")
    assert is_picture("b.jpg.jpg")
    assert not is_picture("._b.jpg")
    assert not is_picture("Thumbs.db")
    assert not is_picture("jpg")
