"""Small pictures for pages, and when a picture was taken."""

import io
import re

from PIL import Image

from fgu_jax.data.decode import Box, decode_image, open_picture

LONGEST = 256  # pixels of a thumbnail's longer side; none is enlarged
EMPTY = (  # one grey pixel, in place of a picture that cannot be read
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xaa\xaa\xaa\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
_CHANGED, _EXIF, _TAKEN = 0x0132, 0x8769, 0x9003


def thumbnail(data: bytes, *, box: Box | None = None, longest: int = LONGEST) -> bytes:
    """A picture as a small JPEG, upright, of its own shape.

    Args:
      data: the encoded bytes.
      box: the part of the picture that is shown, as of ``decode_image``.
      longest: pixels of the longer side.

    Raises:
      UnreadableImage: it cannot be decoded.
    """
    if box is not None:
        whole = decode_image(data, 0, 0, box=box)
        height, width = whole.shape[:2]
    else:
        width, height = _size(data)
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    out = io.BytesIO()
    small = decode_image(data, *size, box=box)
    Image.fromarray(small).save(out, "JPEG", quality=85)
    return out.getvalue()


def _size(data: bytes) -> tuple[int, int]:
    """Width and height of the upright picture."""
    try:
        image = open_picture(data)
    except Exception:
        decode_image(data, 1, 1)  # says why it is no picture
        raise
    width, height = image.size
    try:
        turned = image.getexif().get(_ORIENTATION) in _TURNED
    except Exception:  # damaged metadata does not damage the picture
        turned = False
    return (height, width) if turned else (width, height)


def taken_on(data: bytes) -> str:
    """When a picture was taken, as its EXIF says; empty where it does not.

    Args:
      data: the encoded bytes.

    Returns:
      ``2026-11-29 08:30:00``, in the camera's own time.
    """
    try:
        exif = open_picture(data).getexif()
        said = str(exif.get_ifd(_EXIF).get(_TAKEN) or exif.get(_CHANGED) or "")
    except Exception:  # damaged metadata, or no picture
        return ""
    found = re.match(r"(\d{4}):(\d\d):(\d\d)( \d\d:\d\d(:\d\d)?)?", said)
    if found is None or found[1] == "0000":
        return ""
    return f"{found[1]}-{found[2]}-{found[3]}{found[4] or ''}"
