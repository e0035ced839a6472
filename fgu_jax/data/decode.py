"""Encoded bytes of one picture, from anybody, to uint8 RGB of the asked size.

Resampling is Pillow's ``BILINEAR``: its support widens when it shrinks (so it does
not alias), it is plain linear interpolation when it enlarges, and it is what the
published re-identification code and torchvision's ``Resize`` use, so that figures
compare.
"""

import io

import numpy as np
from PIL import Image

from fgu_jax.errors import InputError

MAX_MEMORY = 160_000_000
"""Pictures that would take more bytes than this are refused by their header."""

MAX_BYTES = 1 << 27
"""Larger files are refused before they are read."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What is tried; no format that starts another program, as EPS does."""

SUFFIXES = frozenset(
    ("bmp", "gif", "jpeg", "jpg", "mpo", "pbm", "pgm", "png", "pnm", "ppm")
) | {"tif", "tiff", "webp"}
"""Endings (lower case, no dot) by which a file is taken for a picture."""

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


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's does, and is not a hidden file's.

    >>> is_picture("0001_c1s1_000151_01.jpg.jpg"), is_picture("Thumbs.db")
    (True, False)
    """
    base = name.rpartition("/")[2]
    start, _, ending = base.rpartition(".")
    return ending.lower() in SUFFIXES and start != "" and not base.startswith(".")


def decode_image(data: bytes, height: int, width: int) -> np.ndarray:
    """One picture as uint8 [height, width, 3], RGB, upright.

    EXIF rotation is applied; CMYK, grey, palette and 16-bit pictures become 8-bit RGB;
    transparent parts are laid on white. A JPEG of at least twice the size is shrunk
    while it is decoded.

    Args:
      data: the encoded bytes.
      height, width: size of the result in pixels.

    Raises:
      UnreadableImage: zero bytes, truncated, not a picture, or larger than
        ``MAX_MEMORY`` allows: 53 million pixels as JPEG, 40 million as RGB.

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
        return _decode(data, height, width)
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
            reason = "not a picture of a known format"
        raise UnreadableImage(reason[:120]) from error


def _decode(data: bytes, height: int, width: int) -> np.ndarray:
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    kind = "JPEG" if image.format in ("JPEG", "MPO") else image.mode
    most = MAX_MEMORY // _BYTES.get(kind, _BYTES_OTHERWISE)
    if image.width * image.height > most:
        raise UnreadableImage(
            f"{image.width:,} x {image.height:,} pixels, over the limit of {most:,}"
        )
    if image.format == "JPEG":
        # Twice the longer side of the result, because a rotation may follow.
        side = 2 * max(height, width)
        image.draft("RGB" if image.mode == "YCbCr" else image.mode, (side, side))
    turns = _TURNS.get(_orientation(image), ())
    image = _to_rgb(image)
    for turn in turns:
        image = image.transpose(turn)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; damaged metadata does not damage the picture."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _sixteen_bits_to_eight(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def _sixteen_bits_to_eight(image: Image.Image) -> Image.Image:
    """Grey of 0..65535 to 8 bits; Pillow's own convert would clip it."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):
        raise UnreadableImage(
            f"grey values from {low:g} to {high:g}; at most 16 bits are understood"
        )
    return Image.fromarray((values.astype(np.float32) / 257 + 0.5).astype(np.uint8))
