"""Throws damaged files at the three readers of what strangers wrote.

    pip install -e '.[fuzz]'
    python tests/fuzz/fuzz.py                    all three, 100,000 inputs each
    python tests/fuzz/fuzz.py pth --inputs=5000  one of them

Each reader runs under atheris (libFuzzer guided by coverage) in a process of its own.
An input fails where it raises anything but ``InputError`` (of one line), takes more
than 10 seconds, or more than 200 MiB. What failed is kept in ``--findings`` and is
read again by ``python tests/fuzz/fuzz.py pth FILE``.

Nothing in the quick suite needs atheris; hypothesis tests the same readers there.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

from fgu_jax.errors import InputError

RAW = "--raw" in sys.argv  # this process is the one that is thrown at
WATCHED = ["fgu_jax", "PIL", "zipfile", "pickletools"]
with atheris.instrument_imports(include=WATCHED) if RAW else contextlib.nullcontext():
    from PIL import Image

    Image.init()
    from fgu_jax.config import FIELDS, Config
    from fgu_jax.config import values as config_values
    from fgu_jax.data import decode
    from fgu_jax.networks.weights import read_pth

SECONDS, MEBIBYTES = 10, 200
GOLDENS = Path(__file__).parents[1] / "goldens"


def refusing(read: Callable[[], None]) -> None:
    """Runs a reader; its one allowed exception has one line."""
    try:
        read()
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from error


# Weights ------------------------------------------------------------------------------


def read_weights(data: bytes) -> None:
    """``.pth``, in both of PyTorch's formats."""

    def read() -> None:
        SCRATCH.write_bytes(data)
        for array in read_pth(SCRATCH).values():
            assert array.nbytes <= 32 * len(data)
            if array.dtype.kind in "fiub":
                array.sum(dtype=np.float64)  # every number can be read

    refusing(read)


def mutate_weights(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time inside the pickle of a zip, whose checksum is then right."""
    chance = random.Random(seed)
    if data[:2] == b"PK" and chance.random() < 0.5:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = {name: archive.read(name) for name in archive.namelist()}
        except Exception:
            return atheris.Mutate(data, max_size)
        name = next((n for n in entries if n.endswith("data.pkl")), None)
        if name is not None:
            entries[name] = atheris.Mutate(entries[name], len(entries[name]) + 64)
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for each, content in entries.items():
                    archive.writestr(each, content)
            return packed.getvalue()[:max_size]
    return atheris.Mutate(data, max_size)


def weights_seeds() -> list[bytes]:
    return [(GOLDENS / n).read_bytes() for n in ("tiny.pth", "tiny_legacy.pth")]


# Pictures -----------------------------------------------------------------------------


def read_picture(data: bytes) -> None:
    """Any picture's bytes to uint8 RGB of a fixed size."""

    def read() -> None:
        image = decode.decode_image(data, 16, 8)
        assert image.shape == (16, 8, 3)
        assert image.dtype == np.uint8

    refusing(read)


def picture_seeds() -> list[bytes]:
    rows, columns = np.mgrid[:23, :17]
    pixels = np.stack([rows * 11, columns * 15, rows * columns], -1).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (rgb, "JPEG", {"exif": exif}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "PNG", {}),
        (rgb.convert("P"), "PNG", {"transparency": 3}),
        (Image.fromarray(rows.astype(np.uint16) * 999), "PNG", {}),
        (rgb.convert("RGBA"), "WEBP", {}),
        (rgb, "BMP", {}),
        (rgb, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (Image.fromarray(rows.astype(np.float32)), "TIFF", {}),
        (rgb.convert("P"), "GIF", {"save_all": True, "append_images": [rgb]}),
        (rgb, "PPM", {}),
        (rgb.convert("1"), "PPM", {}),
        (rgb, "MPO", {"save_all": True, "append_images": [rgb]}),
    ]
    found = []
    for image, kind, options in kinds:
        file = io.BytesIO()
        image.save(file, kind, **options)
        found.append(file.getvalue())
    return found


# Configuration ------------------------------------------------------------------------


def read_config(data: bytes) -> None:
    """A ``config.json``; what is accepted comes back from its own JSON the same."""

    def read() -> None:
        SCRATCH.write_bytes(data)
        found = config_values.load(SCRATCH)
        SCRATCH.write_text(found.to_json(), encoding="utf-8")
        assert config_values.load(SCRATCH) == found

    refusing(read)


def mutate_config(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time a value, so that the JSON still reads."""
    chance = random.Random(seed)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not values:
        return atheris.Mutate(data, max_size)
    name = chance.choice(list(values))
    kind = chance.randrange(8)
    if kind == 0:
        values[name] = chance.choice(VALUES)
    elif kind == 1:
        values[chance.choice(list(FIELDS))] = chance.choice(VALUES)
    elif kind == 2:
        values[name] = [values[name]] * chance.randrange(4)
    elif kind == 3:
        text = atheris.Mutate(str(values[name]).encode(errors="replace"), 200)
        values[name] = text.decode("utf-8", "replace")
    else:
        return atheris.Mutate(data, max_size)
    return json.dumps(values).encode()[:max_size]


VALUES = (None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, -0.0, 1e-320, "", "0")
VALUES += ("nan", "1e999", "\0", "\ud800", "9" * 5000, "none", {}, [], {"a": [1]})


def config_seeds() -> list[bytes]:
    wide = Config(num_patches=4, image_height=64, lr_drop_epoch=3, workdir="x")
    return [Config().to_json().encode(), wide.to_json().encode(), b"{}"]


READERS = {
    "pth": (read_weights, mutate_weights, weights_seeds),
    "image": (read_picture, None, picture_seeds),
    "config": (read_config, mutate_config, config_seeds),
}
# In memory where there is such a folder: 100,000 inputs are 100,000 files.
MEMORY = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())
SCRATCH = MEMORY / f"fgu-jax-fuzz-{os.getpid()}"


def fuzz(name: str, libfuzzer: list[str]) -> None:
    """Runs one reader in this process; libFuzzer ends the process."""
    read, mutate, _ = READERS[name]
    if mutate is None:
        atheris.Setup([sys.argv[0], *libfuzzer], read)
    else:
        atheris.Setup([sys.argv[0], *libfuzzer], read, custom_mutator=mutate)
    atheris.Fuzz()


def supervise(name: str, inputs: int, seed: int, findings: Path) -> dict:
    """Runs one reader in a process of its own, and what is to be said of it."""
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for i, data in enumerate(READERS[name][2]()):
            (Path(corpus) / f"seed{i}").write_bytes(data)
        started = time.perf_counter()
        command = [sys.executable, __file__, name, "--raw", f"-runs={inputs}"]
        command += [f"-seed={seed}", f"-timeout={SECONDS}", "-max_len=20000"]
        command += [f"-rss_limit_mb={own_size() + MEBIBYTES}"]
        command += [f"-artifact_prefix={findings / name}-", "-print_final_stats=1"]
        process = subprocess.Popen(
            [*command, corpus], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        said = process.communicate()[1].decode("utf-8", "replace")
        (MEMORY / f"fgu-jax-fuzz-{process.pid}").unlink(missing_ok=True)
    ran = re.search(r"number_of_executed_units:\s*(\d+)", said)
    peak = re.search(r"peak_rss_mb:\s*(\d+)", said)
    if process.returncode:
        sys.stderr.write(said[-4000:])
    return {
        "reader": name,
        "inputs": int(ran[1]) if ran else 0,
        "failed": int(process.returncode != 0),
        "seconds": round(time.perf_counter() - started, 1),
        "MiB above an idle process": int(peak[1]) - own_size() if peak else None,
    }


def own_size() -> int:
    """MiB of this process, which has imported what the readers need."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    if RAW:
        fuzz(sys.argv[1], [a for a in sys.argv[2:] if a != "--raw"])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", nargs="?", choices=READERS, help="all if left out")
    parser.add_argument("file", nargs="?", type=Path, help="read this one alone")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    given = parser.parse_args()
    if given.file is not None:
        READERS[given.reader][0](given.file.read_bytes())
        return
    names = [given.reader] if given.reader else list(READERS)
    found = [supervise(n, given.inputs, given.seed, given.findings) for n in names]
    for each in found:
        print(json.dumps(each))
    sys.exit(any(each["failed"] or each["inputs"] < given.inputs for each in found))


if __name__ == "__main__":
    main()
