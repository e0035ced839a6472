"""Weights as the field's toolkits keep them: found under whatever stands before."""

import json

import numpy as np
import pytest
from goldens.torch_file import View, integer, tensor, text, zip_file
from networks.test_weights import state, write, zeros

from fgu_jax.errors import InputError
from fgu_jax.networks.weights import load_initial
from fgu_jax.networks.weights.names import find_prefix

PREFIXES = (
    *("backbone.", "module.base.", "module.encoder_q.", "model.", "_orig_mod."),
    *("module.", "visual.trunk.", "student.module.backbone.", "net.0."),
)


def right(variables):
    backbone = variables["params"]["backbone"]
    np.testing.assert_array_equal(
        backbone["layer2_0"]["downsample_0"]["kernel"][0, 0],
        state()["layer2.0.downsample.0.weight"][:, :, 0, 0].T,
    )
    np.testing.assert_array_equal(
        backbone["conv1"]["kernel"][2, 5, 1, 3], state()["conv1.weight"][3, 1, 2, 5]
    )


def under(prefix):
    return {prefix + name: tensor for name, tensor in state().items()}


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_prefix_is_found(tmp_path, prefix, ending):
    head = {"heads.bottleneck.0.weight": np.ones(3, np.float32)}
    path = write(tmp_path / f"w{ending}", under(prefix) | head)
    variables, report = load_initial(path, "resnet18", zeros())
    right(variables)
    assert "heads.bottleneck.0.weight" in report.left_over
    # A .pth of a parallel network loses its module. when it is read.
    assert ending == ".pth" or f"under {prefix!r}" in report.lines()[0]


@pytest.mark.parametrize("relu", [0, 1])  # with and without it among the parts
def test_a_numbered_sequence(tmp_path, relu):
    first = 3 + relu
    names = {"conv1": "0", "bn1": "1"}
    names |= {f"layer{k + 1}": str(first + k) for k in range(4)}
    tensors = {
        "module.base." + ".".join([names[name.split(".")[0]], *name.split(".")[1:]]): t
        for name, t in state().items()
        if not name.startswith("fc")
    }
    variables, _ = load_initial(write(tmp_path / "w.pth", tensors), "resnet18", zeros())
    right(variables)


def test_a_query_network_comes_before_its_mean(tmp_path):
    mean = {name: tensor + 1 for name, tensor in under("module.encoder_k.").items()}
    tensors = mean | under("module.encoder_q.") | {"module.queue": np.zeros((2, 3))}
    variables, report = load_initial(
        write(tmp_path / "moco.safetensors", tensors), "resnet18", zeros()
    )
    right(variables)
    assert "module.encoder_k.conv1.weight" in report.left_over


def test_what_scripts_keep_beside_the_network_is_passed_over_and_counted(tmp_path):
    names = [*under("module."), "exp_avg"]
    tensors = [*state().values(), np.ones(4, np.float32)]
    views = [View(np.ascontiguousarray(t)) for t in tensors]
    records = [tensor(str(i), view, legacy=False) for i, view in enumerate(views)]

    def dict_of(items):
        return b"}(" + b"".join(items) + b"u"

    student = [text(n) + r for n, r in zip(names[:-1], records, strict=False)]
    moments = dict_of([integer(0), dict_of([text("exp_avg"), records[-1]])])
    arguments = b"cargparse\nNamespace\n)\x81}(" + text("lr") + integer(1) + b"ub"
    scalar = b"cnumpy.core.multiarray\nscalar\n)R"
    kept = dict_of(
        [
            *(text("epoch"), integer(3), text("args"), arguments),
            *(text("student"), dict_of(student), text("best"), scalar),
            *(text("optimizer"), dict_of([text("state"), moments])),
        ]
    )
    path = tmp_path / "dino.pth"
    packed = dict(zip(names, views, strict=True))
    path.write_bytes(zip_file(packed, b"\x80\x02" + kept + b"."))
    variables, report = load_initial(str(path), "resnet18", zeros())
    right(variables)
    assert "optimizer.state.0.exp_avg" in report.left_over
    assert "under 'student.module.'" in report.source


def test_weights_in_several_files(tmp_path):
    names = sorted(state())
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        write(tmp_path / file, {name: state()[name] for name in part})
    index = tmp_path / "model.safetensors.index.json"
    where = {name: file for file, part in halves.items() for name in part}
    index.write_text(json.dumps({"weight_map": where}))
    right(load_initial(str(index), "resnet18", zeros())[0])
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"names 'b\.safetensors', which is not"):
        load_initial(str(index), "resnet18", zeros())
    for wrong in ("[]", '{"weight_map": {"a": "../b.safetensors"}}', "{"):
        index.write_text(wrong)
        with pytest.raises(InputError, match=r"damaged or no index|not beside it"):
            load_initial(str(index), "resnet18", zeros())


def test_one_file_of_several_names_their_index(tmp_path):
    path = write(tmp_path / "model-00001-of-00002.safetensors", state())
    with pytest.raises(InputError, match=r"one of 2 files.*model\.safetensors\.index"):
        load_initial(path, "resnet18", zeros())
    path = write(tmp_path / "model-00001-of-00001.safetensors", state())
    right(load_initial(path, "resnet18", zeros())[0])


def test_another_architecture_shows_the_first_names(tmp_path):
    path = write(tmp_path / "w.safetensors", {"stem.0.kernel": np.ones(2, np.float32)})
    with pytest.raises(InputError, match=r"it begins with stem\.0\.kernel"):
        load_initial(path, "resnet18", zeros())


def test_of_two_prefixes_the_one_with_more_layers():
    wanted = {"conv1.weight", "bn1.weight", "bn1.bias"}
    names = [f"a.{name}" for name in wanted] + ["conv1.weight"]
    assert find_prefix(wanted, names) == "a."
    assert find_prefix(wanted, ["x"]) == ""
