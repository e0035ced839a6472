"""File names as a person can read them, whatever bytes they are made of."""


def printable(name: str) -> str:
    r"""A name with everything that cannot be seen spelt out.

    Line breaks, controls, marks that turn the direction of text, and bytes that are
    not UTF-8 (``surrogateescape``) become escapes as Python writes them; the rest is
    left as it is. For the eye only: a file is opened by its true name.

    >>> printable("caf\udce9 1\n.jpg")
    'caf\\xe9 1\\n.jpg'
    >>> printable("日本 é.jpg")
    '日本 é.jpg'
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]
