"""Which kind of picture a file is: by its ending, or by its first bytes."""

import re

from PIL import Image

START = 32
"""First bytes of a file that ``picture_kind`` looks at."""

FORMATS = (
    *("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"),
    *("JPEG2000", "AVIF", "QOI", "SGI", "DDS", "PSD"),
)
"""What Pillow is asked for; no format that starts another program, as EPS does."""

SUFFIXES = frozenset(
    ("bmp", "gif", "jpeg", "jpg", "mpo", "pbm", "pgm", "png", "pnm", "ppm")
) | {"tif", "tiff", "webp"}
"""Endings (lower case, no dot) by which a file is taken for a picture, unopened."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"qoif": "QOI",
    b"\x01\xda\0\x01": "SGI",
    b"\x01\xda\x01\x01": "SGI",
    b"DDS |\0\0\0": "DDS",
    b"8BPS\0\x01": "PSD",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1"), "HEIC"),
}
# Cameras' own formats begin as TIFF, and hold a thumbnail that Pillow would read.
_RAW = frozenset(("arw", "cr2", "cr3", "dng", "erf", "kdc", "mrw", "nef", "nrw")) | {
    *("orf", "pef", "raf", "rw2", "sr2", "srf", "srw", "3fr"),
}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_PNM = re.compile(rb"P[1-6]\s+(#|[0-9]+\s)|P7\nWIDTH")


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's does, and is not a hidden file's.

    >>> is_picture("0001_c1s1_000151_01.jpg.jpg"), is_picture("Thumbs.db")
    (True, False)
    """
    base = name.rpartition("/")[2]
    start, _, ending = base.rpartition(".")
    return ending.lower() in SUFFIXES and start != "" and not base.startswith(".")


def picture_kind(start: bytes) -> str | None:
    r"""The kind of picture that begins with these bytes, or ``None``.

    Args:
      start: the first ``START`` bytes of the file, or all that it has.

    >>> picture_kind(b"\x89PNG\r\n\x1a\n"), picture_kind(b"BMW and others")
    ('PNG', None)
    """
    for mark, kind in _STARTS.items():
        if start.startswith(mark):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        brands = [start[8:12], *(start[i : i + 4] for i in range(16, len(start), 4))]
        return next((_BRANDS[b] for b in brands if b in _BRANDS), None)
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return "PPM" if _PNM.match(start) else None


def not_taken(name: str, start: bytes) -> str | None:
    """Why a file is not taken for a picture; ``None`` where it is.

    Args:
      name: the file's.
      start: its first bytes.

    >>> not_taken("notes.TXT", b"hello"), not_taken("IMG_1", b"GIF89a")
    ('not a picture (.txt)', None)
    """
    base = name.rpartition("/")[2]
    ending = base.rpartition(".")[2].lower() if "." in base[1:] else ""
    kind = picture_kind(start)
    if start and ending in _RAW and kind in (None, "TIFF"):
        kind = f"a camera's own .{ending}"
    if kind in readable():
        return None
    if kind is not None:
        return f"{kind}, which is not read here: save it as JPEG or PNG"
    if not start:
        return "an empty file"
    known = ending.isalnum() and ending.isascii() and len(ending) <= 10
    return f"not a picture (.{ending})" if known else "not a picture (no ending)"


def readable() -> frozenset[str]:
    """Those of ``FORMATS`` that this Pillow was built with."""
    Image.init()
    return frozenset(FORMATS) & frozenset(Image.OPEN)
