"""Encoded bytes of one picture, from anybody, to uint8 RGB of the asked size.

Resampling is Pillow's ``BILINEAR``: its support widens when it shrinks (so it does
not alias), it is plain linear interpolation when it enlarges, and it is what the
published re-identification code and torchvision's ``Resize`` use, so that figures
compare.
"""

import io
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin

from fgu_jax.data.kinds import FORMATS, START, not_taken, picture_kind, readable
from fgu_jax.errors import InputError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the upright picture."""

Resize = Literal["squash", "pad"]
_GREY = (127, 127, 127)  # about the mean of the networks' normalisation

MAX_MEMORY = 160_000_000
"""Pictures that would take more bytes than this are refused by their header."""

MAX_SHRUNK = 160_000_000
"""Pixels of a JPEG that is shrunk to a quarter, or less, while it is decoded."""

MAX_BYTES = 1 << 27
"""Larger files are refused before they are read."""

# Bytes that a pixel takes while it is decoded and converted. A JPEG is shrunk while it
# is decoded, but a progressive one holds the coefficients of all its pixels.
_BYTES = {"JPEG": 3, "RGB": 4, "L": 5, "1": 5, "CMYK": 8, "YCbCr": 8}
_BYTES_OTHERWISE = 16

_ORIENTATION = 0x0112
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}


class UnreadableImage(InputError):
    """Why one picture cannot be used; whoever knows its name says which."""


def decode_image(
    data: bytes,
    height: int,
    width: int,
    *,
    box: Box | None = None,
    resize: Resize = "squash",
) -> np.ndarray:
    """One picture, or a box of it, as uint8 [height, width, 3], RGB, upright.

    EXIF rotation is applied; CMYK, grey, palette and 16-bit pictures become 8-bit RGB,
    as do floating-point ones (``grey_scale``); transparent parts are laid on white. A
    JPEG of at least twice the size is shrunk while it is decoded.

    Args:
      data: the encoded bytes.
      height, width: size of the result in pixels.
      box: the part of the picture that is taken, as far as it lies inside.
      resize: as of ``resized``.

    Raises:
      UnreadableImage: zero bytes, truncated, not a picture, or larger than
        ``MAX_MEMORY`` allows (53 million pixels as JPEG, 160 million where it is
        shrunk while it is decoded, 40 million as RGB); values that cannot be brought to
        8 bits; a box outside it.

    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (1, 1), (255, 0, 0, 0)).save(file, "PNG")
    >>> decode_image(file.getvalue(), 2, 1).tolist()
    [[[255, 255, 255]], [[255, 255, 255]]]
    """
    if not data:
        raise UnreadableImage("zero bytes")
    if len(data) > MAX_BYTES:
        raise UnreadableImage(f"{len(data):,} bytes, over the limit of {MAX_BYTES:,}")
    try:
        return _decode(data, height, width, box, resize)
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage("over the limit of 53 million pixels") from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error,
        # EOFError, ... on damaged files: whichever it is, this picture is unreadable.
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            kind = picture_kind(data[:START])
            known = kind is None or kind in readable()
            reason = "not a picture of a known format"
            reason = reason if known else not_taken("", data[:START]) or reason
        raise UnreadableImage(reason[:120]) from error


def crop(data: bytes, box: Box) -> bytes:
    """The pixels of a box as a PNG, which decodes as the box itself does.

    Raises:
      UnreadableImage: as ``decode_image``.
    """
    file = io.BytesIO()
    Image.fromarray(_decode(data, 0, 0, box)).save(file, "PNG")
    return file.getvalue()


def resized(image: Image.Image, height: int, width: int, resize: Resize) -> Image.Image:
    """A picture of the asked size.

    Args:
      image: RGB.
      height, width: in pixels.
      resize: ``squash`` to the size, whatever the proportions; or ``pad``: the
        proportions are kept, the picture is in the middle, with grey beside.

    >>> wide = resized(Image.new("RGB", (8, 2)), 4, 4, "pad")
    >>> [wide.getpixel((0, y))[0] for y in range(4)]
    [127, 127, 0, 127]
    """
    if image.size == (width, height):
        return image
    if resize == "pad":
        bilinear = Image.Resampling.BILINEAR
        return ImageOps.pad(image, (width, height), bilinear, color=_GREY)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _decode(
    data: bytes, height: int, width: int, box: Box | None, resize: Resize = "squash"
) -> np.ndarray:
    image = open_picture(data)
    size, kind = image.size, "JPEG" if image.format == "JPEG" else image.mode
    most = MAX_MEMORY // _BYTES.get(kind, _BYTES_OTHERWISE)
    if image.format == "JPEG" and box is None:
        # Twice the longer side of the result, because a rotation may follow.
        side = 2 * max(height, width)
        image.draft("RGB" if image.mode == "YCbCr" else image.mode, (side, side))
        if image.size[0] * 4 <= size[0] and "progressive" not in image.info:
            most = MAX_SHRUNK
    if size[0] * size[1] > most:
        raise UnreadableImage(
            f"{size[0]:,} x {size[1]:,} pixels, over the limit of {most:,}: make it "
            "smaller"
        )
    # Before the orientation is asked for, which decodes a PNG.
    raw = [str(tile[3]) for tile in getattr(image, "tile", ())]
    turns = _TURNS.get(_orientation(image), ())
    deep = image.mode[0] != "I" and any(";16" in modes for modes in raw)
    image = to_rgb(image)
    if deep and int(np.asarray(image).max()) < 16:
        raise UnreadableImage(
            "colour of 16 bits of which the lowest 12 alone are used: it would be "
            "black; save it with 8 bits a colour"
        )
    for turn in turns:
        image = image.transpose(turn)
    if box is not None:
        image = _cropped(image, box)
    if height and width:
        image = resized(image, height, width, resize)
    return np.asarray(image)


def open_picture(data: bytes) -> Image.Image:
    """A picture of which the header alone is read.

    It is asked for by its kind: ``Image.open`` warns of sizes that ``_decode`` has its
    own limits for. Of a camera with two lenses the first picture is taken.
    """
    file, kind = io.BytesIO(data), picture_kind(data[:START])
    if kind == "JPEG":
        return JpegImagePlugin.JpegImageFile(file)
    if kind in readable():
        return Image.OPEN[kind][0](file, "")
    return Image.open(file, formats=FORMATS)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of a picture as it is looked at, of what its header says.

    A PNG would have to be decoded to know whether it is turned, and hardly ever is.
    """
    width, height = image.size
    turned = image.format != "PNG" and _orientation(image) >= 5
    return (height, width) if turned else (width, height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; damaged metadata does not damage the picture."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode as 8-bit RGB; transparent parts are laid on white.

    Raises:
      UnreadableImage: values that cannot be brought to 8 bits.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _to_eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def _cropped(image: Image.Image, box: Box) -> Image.Image:
    """The part of a picture that a box and the picture share."""
    left, top, right, bottom = (round(side) for side in box)
    inside = (
        *(max(left, 0), max(top, 0)),
        *(min(right, image.width), min(bottom, image.height)),
    )
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise UnreadableImage(
            f"box {left}, {top} to {right}, {bottom} has no pixel of the picture of "
            f"{image.width} x {image.height}"
        )
    return image.crop(inside)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits to 8; Pillow's own convert would clip it."""
    values = np.asarray(image)
    scale, _ = grey_scale(values)
    scaled = np.clip(values.astype(np.float32) * scale + 0.5, 0, 255)
    return Image.fromarray(scaled.astype(np.uint8))


def grey_scale(values: np.ndarray) -> tuple[float, str]:
    """What grey values of more than 8 bits are multiplied by, and what they are.

    Floating-point values of at most 1, or of some more where a filter overshot, are
    shares of white. Others, and whole numbers, are taken for the fewest bits that hold
    them, of 8, 10, 12, 14, 16: cameras write 12 bits into pictures of 16.

    Args:
      values: of one picture, of any shape.

    Raises:
      UnreadableImage: values below 0, above 65535 or not finite.

    >>> grey_scale(np.array([0.0, 0.5], np.float32))[1]
    'shares of white, 0 to 1'
    >>> grey_scale(np.array([0, 4000], np.uint16))[1]
    'grey of 12 bits'
    """
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):
        raise UnreadableImage(
            f"grey values from {low:g} to {high:g}; 0 to 1, or whole numbers of at "
            "most 16 bits are understood"
        )
    if values.dtype.kind == "f" and high < 2:
        return 255.0, "shares of white, 0 to 1"
    bits = next(bits for bits in (8, 10, 12, 14, 16) if high < 2**bits)
    return 255 / (2**bits - 1), f"grey of {bits} bits"
