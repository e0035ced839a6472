"""Folders to search, with hostile names, and a network made by hand."""

import os

import numpy as np
from PIL import Image

from fgu_jax import searching

HOSTILE = [
    "plain.png",
    "two words.png",
    "line\nbreak.png",
    "<script>alert(1)</script>.png".replace("/", "\N{FRACTION SLASH}"),
    "</script>.png".replace("/", "\N{FRACTION SLASH}"),
    "quote\"and'quote.png",
    "{{data}}.png",
    "[bold]markup[.png",
    os.fsdecode(b"caf\xe9.png"),
]


class Colours:
    """A network whose features are the mean colours of two stripes."""

    size = (8, 4)
    identity = "colours"

    def __init__(self):
        self.seen = 0

    def of_set(self, images, parts, *, stream):
        assert (parts, stream) == (("fused",), "always")
        return {"fused": self(images.decode(*self.size))}

    def __call__(self, images):
        assert images.shape[1:] == (8, 4, 3)
        self.seen += len(images)
        flat = images.reshape(len(images), 2, 16, 3).mean(axis=2).reshape(-1, 6) + 1
        return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)


def paint(path, color, size=(12, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, color)
    image.paste((200, 30, 90), (0, size[1] // 2, size[0], size[1]))
    image.save(path, "PNG")


def color_of(row):
    return (25 * row % 256, 255 - 20 * row, 60 + 7 * row)


def search_in(folders, network, cache=None, **options):
    with searching.FeatureCache(cache, network.identity) as opened:
        found = searching.search(
            network, folders / "query", folders / "gallery", cache=opened, **options
        )
    assert opened.trouble is None
    return found


def names_found(matches, query):
    return [matches.gallery.names[row] for row in matches.indices[query]]


def break_some(folders):
    gallery = folders / "gallery"
    whole = (gallery / "plain.png").read_bytes()
    (gallery / "cut.png").write_bytes(whole[:50])
    (gallery / "empty.jpg").write_bytes(b"")
    (gallery / "text\n.png").write_text("not a picture")
    (gallery / "nowhere.png").symlink_to(folders / "nothing")
    os.mkfifo(gallery / "pipe.png")
    (folders / "query" / "zero.png").write_bytes(b"")
    return {"cut.png", "empty.jpg", "text\n.png", "nowhere.png", "pipe.png"}
