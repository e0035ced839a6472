"""Reading .pth files: what torch.save writes, and files that mean harm."""

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from goldens.torch_file import View, legacy_file, text, zip_file
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fgu_jax.errors import InputError
from fgu_jax.networks.weights import pickled, read_pth

GOLDENS = Path(__file__).parents[1] / "goldens"
FORMATS = {"zip": zip_file, "legacy": legacy_file}


def read(folder, content):
    path = Path(folder) / "weights.pth"
    path.write_bytes(content)
    return read_pth(path)


@pytest.mark.parametrize("name", ["tiny.pth", "tiny_legacy.pth"])
def test_files_of_the_real_torch_save(name):
    found = read_pth(GOLDENS / name)
    wanted = {
        "0.weight": np.arange(54, dtype=np.float32).reshape(3, 2, 3, 3),
        "1.weight": np.ones(3, np.float32),
        "1.bias": np.zeros(3, np.float32),
        "1.running_mean": np.zeros(3, np.float32),
        "1.running_var": np.ones(3, np.float32),
        "1.num_batches_tracked": np.int64(0),
        "transposed": np.arange(12).reshape(3, 4).T,
        "shared": np.array([5, 6, 7]),
        "half": np.array([0.5, -2], np.float16),
        "bfloat16": np.float32(1.5),
        "double": np.zeros(0),
        "flags": np.array([True, False]),
    }
    assert set(found) == set(wanted)
    for key, value in wanted.items():
        same_type = key == "bfloat16" or found[key].dtype == value.dtype
        assert same_type, key
        np.testing.assert_array_equal(found[key].astype(value.dtype), value)
        assert not found[key].flags.writeable


arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
    hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
)


@given(st.dictionaries(st.text(min_size=1, max_size=9), arrays, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, state):
    state = {k: v for k, v in state.items() if not k.startswith("module.")} or {
        "a": np.zeros(1)
    }
    views = {name: View(value) for name, value in state.items()}
    for number, write in enumerate(FORMATS.values()):
        path = tmp_path_factory.getbasetemp() / f"written{number}.pth"
        path.write_bytes(write(views))
        found = read_pth(path)
        assert list(found) == list(state)
        for name, value in state.items():
            np.testing.assert_array_equal(found[name], value)
        path.unlink()


@pytest.mark.parametrize("form", FORMATS)
def test_a_pickle_that_would_run_code_is_refused_and_did_not_run(tmp_path, form):
    proof = tmp_path / "ran"

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(proof),)

    content = pickle.dumps({"weight": Harm()}, 2)
    with pytest.raises(InputError, match=r"asks for '(posix|nt)\.mkdir'.*state_dict"):
        read(tmp_path, FORMATS[form]({"w": View(np.zeros(1))}, content))
    assert not proof.exists()
    pickle.loads(content)
    assert proof.exists(), "the pickle of this test does no harm and proves nothing"


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(" + text("1") + b"tR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"(" + text("1") + b"ibuiltins\neval\n.",
        b"(cbuiltins\neval\n" + text("1") + b"o.",
        b"ctorch\nload\n.",
        b"ctorch.nn.modules.linear\nLinear\n)\x81.",
        b"\x82\x01.",
        b"\x95\x00\x00\x00\x00\x00\x00\x00\x00\x97.",
        b"Ptext\n.",
    ],
    ids=["eval", "stack", "inst", "obj", "load", "class", "ext", "buffer", "persid"],
)
def test_every_way_to_name_code_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"refused: it (asks for|uses pickle's)"):
        read(tmp_path, zip_file({"w": View(np.zeros(1))}, content))


def test_known_functions_are_called_with_tensor_records_only(tmp_path):
    for call in (
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch\nSize\n(K\x01tR.",
        b"ctorch\nFloatStorage\n)R.",
        b"K\x01)R.",
        b"}K\x01b.",
        b"]K\x01K\x02s.",
        b"}]K\x02s.",
        b"}K\x01a.",
        b"(" + text("storage") + b"tQ.",
        b"h\x05.",
        b"t.",
        b".",
        b"",
    ):
        with pytest.raises(InputError, match="damaged"):
            read(tmp_path, zip_file({"w": View(np.zeros(1))}, call))


BAD_VIEWS = {
    "offset": View(np.zeros(6), offset=3, shape=(4,)),
    "stride": View(np.zeros(6), shape=(3,), strides=(3,)),
    "negative offset": View(np.zeros(6), offset=-1, shape=(2,)),
    "negative stride": View(np.zeros(6), offset=5, shape=(2,), strides=(-1,)),
    "expanded": View(np.zeros(1), shape=(10**9, 10**9), strides=(0, 0)),
    "huge": View(np.zeros(1), shape=(2**61,), strides=(1,), count=2**61),
    "longer than the file": View(np.zeros(6), shape=(7,), count=7),
    "ranks differ": View(np.zeros(6), shape=(2, 3), strides=(1,)),
    "overflow": View(np.zeros(6), offset=2**64, shape=(1,)),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("view", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_views_outside_their_storage_are_refused(tmp_path, form, view):
    with pytest.raises(InputError, match="damaged or not a PyTorch file"):
        read(tmp_path, FORMATS[form]({"w": view}))


def test_hostile_archives(tmp_path):
    views = {"w": View(np.arange(64.0))}
    good = zip_file(views)
    with pytest.raises(InputError, match="compressed, as PyTorch's never is"):
        read(tmp_path, zip_file(views, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(InputError, match="checksum of entry"):
        read(tmp_path, good.replace(struct.pack("<d", 7), struct.pack("<d", 8)))
    # The size in the central directory says four gigabytes.
    at = good.rindex(b"PK\x01\x02", 0, good.rindex(b"archive/data/0"))
    lie = good[: at + 20] + b"\xf0\xff\xff\xff" * 2 + good[at + 28 :]
    with pytest.raises(InputError, match="outside the file"):
        read(tmp_path, lie)
    big = good.replace(b"little", b"bigend")
    for raw in (b"little", b"bigend"):
        crc = struct.pack("<I", zlib.crc32(raw))
        big = big.replace(crc, struct.pack("<I", zlib.crc32(b"bigend")))
    with pytest.raises(InputError, match="big-endian"):
        read(tmp_path, big)


def test_files_that_hold_no_weights(tmp_path):
    for content, message in (
        (zip_file({}, pickle.dumps([1], 2)), "holds a list, not a dict"),
        (zip_file({}, pickle.dumps({"epoch": 1}, 2)), "holds no tensors"),
        (b"", "cannot be read"),
        (b"hello, this is no weights file", "damaged or not a PyTorch file"),
        (pickle.dumps({"a": 1}, 2), "damaged or not a PyTorch file"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, content)
    with pytest.raises(InputError, match="cannot be read"):
        read_pth(tmp_path / "absent.pth")


def test_a_pickle_without_end_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(pickled, "MAX_INSTRUCTIONS", 50)
    with pytest.raises(InputError, match="more than 50 instructions"):
        read(tmp_path, zip_file({}, b"N" * 100 + b"."))


def test_lengths_that_lie_cost_no_memory(tmp_path):
    for content in (
        b"X\xff\xff\xff\x7f" + b"abc",
        b"\x8d" + struct.pack("<Q", 2**62) + b"abc",
        b"\x8b\xff\xff\xff\x7f",
        b"Nr\xff\xff\xff\x7f0.",
    ):
        with pytest.raises(InputError):
            read(tmp_path, zip_file({}, content))


def test_what_is_small_to_write_and_endless_to_hash_or_print(tmp_path):
    # (x, x) of (x, x), sixty times: nobody may hash it, compare it or make text of it.
    doubled = b"K\x01" + b"q\x01h\x01\x86" * 60
    ordered = b"ccollections\nOrderedDict\n"
    legacy = (GOLDENS / "tiny_legacy.pth").read_bytes()
    keys = legacy.rindex(b"]q\x00(X")  # of the storages, the file's last pickle
    for content in (
        zip_file({}, doubled + text("x") + b"\x93."),
        zip_file({}, ordered + b"](" + doubled + b"K\x02\x86e\x85R."),
        zip_file({}, b"}" + doubled + b"K\x02s."),
        zip_file({}, b"(" + doubled + doubled + doubled + doubled + b"K\x01tQ."),
        legacy[:keys] + b"](" + doubled + b"e.",
    ):
        with pytest.raises(InputError):
            read(tmp_path, content)


@pytest.mark.parametrize("name", ["tiny.pth", "tiny_legacy.pth"])
def test_truncated_files_are_refused(tmp_path, name):
    whole = (GOLDENS / name).read_bytes()
    for size in range(0, len(whole) - 1, 37):
        with pytest.raises(InputError):
            read(tmp_path, whole[:size])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_changed_bytes_end_in_arrays_or_an_input_error(tmp_path_factory, data):
    name = data.draw(st.sampled_from(["tiny.pth", "tiny_legacy.pth"]))
    content = bytearray((GOLDENS / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.pth"
    path.write_bytes(content)
    said = ""
    try:
        found = read_pth(path)
    except InputError as error:
        said = str(error)
    else:
        assert sum(len(a.tobytes()) for a in found.values()) < 100_000
    assert "\n" not in said
