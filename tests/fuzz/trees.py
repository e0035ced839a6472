"""Draws folder trees and tables of labels, and checks that nothing is left in silence.

    python tests/fuzz/trees.py                       20,000 trees, 100,000 tables
    python tests/fuzz/trees.py --trees=100 --seed=5

Of every file that is there it must be known whether it was taken or why it was left
out; what is refused is refused in one line. tests/data/test_reading_fuzz.py draws a few
of each by hypothesis.
"""

import argparse
import io
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

from PIL import Image

from fgu_jax.data.layouts.dialect import decode_table
from fgu_jax.data.layouts.folder import read_folder
from fgu_jax.data.layouts.tree import FolderTree, Layout, Tree
from fgu_jax.errors import InputError

SECONDS = 5


def encoded(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 3)).save(file, form)
    return file.getvalue()


CONTENTS = [encoded(form) for form in ("JPEG", "PNG", "BMP", "PPM", "WEBP", "GIF")]
CONTENTS += [b"", b"text\n", b"P5 and more", b"BM" + b"\0" * 40, b"\xff\xd8\xff"]
CONTENTS += [b"\0\0\0\x18ftypheic\0\0\0\0mif1", b"RIFF....WEBP", b"\x89PNG\r\n\x1a\n"]
STEMS = ["0001_c1", "0001_c2s1", "-1_c1", "0000_c1", "black_cat_c1", "a", "x y", "\n"]
STEMS += ["fox_c1_c2", "00-1C1T0001F001", "caf\u00e9", "cafe\u0301", "\udcff", "{id}"]
STEMS += ["train_7_3", "unknown_c1", "Thumbs", "._a", ".hidden", "con", "n" * 200, "*"]
ENDINGS = [".jpg", ".JPG", ".png", ".jfif", "", ".txt", ".tif", ".jpg.jpg", ".heic"]
ENDINGS += [".db", ".", ".csv", ".webp", ".\u0131"]
FOLDERS = ["train", "query", "test", "bounding_box_test", "@eaDir", "__MACOSX", "a b"]
FOLDERS += [
    ".thumbnails",
    "gt_bbox",
    "runs",
    "checkpoints",
    "0001",
    "\udcfe",
    "e\u0301",
]
MADE = [("config.json", "run.json"), ("matches.json", "index.html"), ("config.json",)]
PATTERNS = [None, None, "{identity}_c{camera}*", "{identity}_*.jpg", "{identity}*"]
PATTERNS += ["{split}/{identity}_c{camera}*.png", "**/{identity}/*", "*{camera}"]
PATTERNS += ["{identity}_{identity}_*", "{identity}C{camera}T*", "?{identity}.JPG"]


def draw_tree(rng: random.Random, root: Path) -> None:
    """Files, folders, links, pipes and what runs leave, below an empty folder."""
    folders, files = [root], []
    for _ in range(rng.randrange(12)):
        folder = rng.choice(folders)
        path = folder / (rng.choice(STEMS) + rng.choice(ENDINGS))
        kind = rng.randrange(20)
        if os.path.lexists(path):  # a pipe would wait for a reader
            continue
        try:
            if kind < 12:
                path.write_bytes(rng.choice(CONTENTS))
                files.append(path)
            elif kind < 15:
                path = folder / rng.choice(FOLDERS)
                path.mkdir()
                folders.append(path)
            elif kind == 15:
                os.mkfifo(path)
            elif kind == 16:
                path.symlink_to(rng.choice([*files, root / "nothing", path]))
            elif kind == 17:
                path.symlink_to(rng.choice(folders))
            elif kind == 18:
                for name in rng.choice(MADE):
                    (folder / name).write_text("{}")
            else:
                (folder / "t.csv").write_bytes(draw_table(rng, ["a.jpg"]))
        except OSError:
            continue  # it is there, or no name of this disk


HEADERS = ["image", "Image ", "path", "file_name", "identity", "individual_id", "name"]
HEADERS += [
    "id",
    "camera",
    "camid",
    "split",
    "bbox",
    "x",
    "y",
    "w",
    "h",
    "date",
    "",
    "\u00e9",
]
CELLS = [
    "",
    "a",
    "unknown",
    "nan",
    "1",
    "2",
    "train",
    "test",
    "query",
    "-1",
    "1e9",
    "x;y",
]
CELLS += [
    "[1, 2, 3, 4]",
    "0 0 5 5",
    "[1,2,3]",
    '"',
    "a,b",
    "\n",
    "\u00e9",
    "caf\u00e9",
    "NaN",
]
ENCODINGS = ["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]


def draw_table(rng: random.Random, names: list[str]) -> bytes:
    """A CSV in some dialect and encoding, of images that are there or not."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(200))
    delimiter = rng.choice(",,,;\t|")
    header = rng.sample(HEADERS, rng.randrange(1, 7))
    if rng.random() < 0.8:
        header.insert(rng.randrange(len(header) + 1), "image")

    def cell(column: str) -> str:
        if column.strip().lower() in ("image", "path", "file_name"):
            name = rng.choice([*names, "gone.jpg"])
            before = rng.choice(["", "", "", "./", "C:\\x\\", "/x/"])
            text = before + name
        elif column == "split" and rng.random() < 0.9:
            text = rng.choice(["train", "test", "query", "gallery", "val"])
        else:
            text = rng.choice(CELLS)
        if rng.random() < 0.2 or delimiter in text or '"' in text or "\n" in text:
            return '"' + text.replace('"', '""') + '"' if rng.random() < 0.95 else text
        return text + " " * (rng.random() < 0.1)

    lines = [delimiter.join(header)]
    for _ in range(rng.randrange(8)):
        cells = [cell(column) for column in header]
        if rng.random() < 0.05:
            cells = cells[:-1] if rng.random() < 0.5 else [*cells, "x"]
        lines.append(delimiter.join(cells))
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    text = rng.choice(["", "", "", f"sep={delimiter}{end}"]) + end.join(lines)
    return text.encode(rng.choice(ENCODINGS), "replace")


class NamedTree:
    """A tree of names alone."""

    where = "here"

    def __init__(self, names: list[str]) -> None:
        self.names, self.left_out = tuple(names), {".x": "hidden"}

    def read(self, key: str | int) -> bytes:
        raise AssertionError("a layout reads no picture")

    def start(self, key: str) -> bytes:
        return b"text"


def check(tree: Tree, there: set[str], **labels: str | None) -> Layout | None:
    """Reads a tree; every file of ``there`` is then accounted for once.

    Raises:
      AssertionError: one is not, or the refusal has more than one line.
    """
    try:
        layout = read_folder(tree, **labels)
    except InputError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert len(said.splitlines()) == 1, repr(said)
        return None
    reading = layout.reading
    assert reading is not None
    taken = {str(e.key) for split in layout.splits.values() for e in split}
    assert taken, "a layout of nothing"
    assert reading.taken == len(taken)
    assert not taken & reading.left_out.keys(), taken & reading.left_out.keys()
    accounted = taken | reading.left_out.keys()
    assert reading.files == len(accounted)
    assert there <= accounted, there - accounted
    assert all(reading.left_out.values())
    assert all(len(line.splitlines()) == 1 for line in reading.lines())
    reading.record()
    return layout


def files_of(root: Path) -> set[str]:
    """What is there but folders, links not followed."""
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    }


def try_tree(rng: random.Random, root: Path) -> bool:
    """Whether a drawn tree was read."""
    draw_tree(rng, root)
    tree = FolderTree(root)
    layout = check(tree, files_of(root), pattern=rng.choice(PATTERNS))
    accounted = {*tree.names, *tree.left_out}
    assert all(os.path.lexists(root / name) for name in accounted)
    return layout is not None


NAMES = [
    "a.jpg",
    "b.png",
    "sub/c.jpg",
    "caf\u00e9.png",
    "notes.txt",
    "d e.jpg",
    "1.PNG",
]


def try_table(rng: random.Random) -> bool:
    """Whether a drawn table was read."""
    names = rng.sample(NAMES, rng.randrange(1, len(NAMES)))
    text = decode_table(draw_table(rng, names))
    return check(NamedTree(names), {*names, ".x"}, table=text) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=20_000)
    parser.add_argument("--tables", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for what, count in (("trees", given.trees), ("tables", given.tables)):
        read, slowest, started = 0, 0.0, time.perf_counter()
        for k in range(count):
            rng = random.Random(f"{given.seed} {what} {k}")
            before = time.process_time()
            root = Path(tempfile.mkdtemp())
            try:
                read += try_tree(rng, root) if what == "trees" else try_table(rng)
            except Exception:
                print(f"{what} {k} of seed {given.seed}")
                raise
            finally:
                shutil.rmtree(root)
            slowest = max(slowest, time.process_time() - before)
        seconds = time.perf_counter() - started
        assert slowest < SECONDS, slowest
        print(
            f"{count:,} {what}: {read:,} read, the others refused in one line, slowest "
            f"{slowest:.2f} s of a core, {seconds:.0f} s in all"
        )


if __name__ == "__main__":
    main()
