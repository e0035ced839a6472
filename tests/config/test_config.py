"""The configuration: presets, parsing, JSON, and what a resume may change."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgu_jax.config import FIELDS, Config, differing, presets
from fgu_jax.config import values as config_values
from fgu_jax.data import canonical_name
from fgu_jax.errors import InputError


def test_paper_is_the_paper():
    config = presets.resolve({"dataset": "market1501"})
    assert config.preset == "paper"
    said = {
        "backbone": "resnet50",
        "image_height": 384,
        "image_width": 128,
        "num_patches": 6,
        "patch_dim": 256,
        "batch_size": 32,
        "epochs": 60,
        "learning_rate": 1e-4,
        "lr_drop_epoch": 50,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "temperature": 0.1,
        "attract_weight": 0.5,
        "patch_weight": 0.8,
        "scale": 15.0,
        "num_neighbors": 15,
        "merge_fraction": 0.05,
        "merge_criterion": "min",
        "neck": False,
        "attract_start": "merge",
    }
    assert {name: getattr(config, name) for name in said} == said
    merges = [e for e in range(1, 61) if config.merges_after(e)]
    assert merges == list(range(20, 57, 2))


def test_the_schedule_leaves_the_clusters_that_the_method_says():
    from fgu_jax.training.checks import clusters_a_merge

    config = presets.resolve({"dataset": "market1501"})
    assert 12936 - 19 * clusters_a_merge(config, 12936) == 662
    assert 16522 - 19 * clusters_a_merge(config, 16522) == 828
    tenth = dataclasses.replace(config, merge_fraction=0.29)
    assert clusters_a_merge(tenth, 100) == 29  # not 28.999...


@pytest.mark.parametrize(
    ("dataset", "scale"),
    [("duke", 5), ("dukemtmcreid", 5), ("msmt17", 5), ("market1501", 15)],
)
def test_scale_goes_by_dataset(dataset, scale):
    assert presets.resolve({"dataset": dataset}).scale == scale
    assert presets.resolve({"dataset": dataset, "scale": "7"}).scale == 7


@pytest.mark.parametrize(
    ("alias", "name"), [("market", "market1501"), ("dukemtmcreid", "duke")]
)
@pytest.mark.parametrize("method", ["fgu", "buc"])
def test_a_dataset_has_one_name_whatever_it_was_called(alias, name, method, tmp_path):
    config = presets.resolve({"dataset": alias, "method": method})
    assert config == presets.resolve({"dataset": name, "method": method})
    assert Config(dataset=alias).directory.name == name
    path = tmp_path / "config.json"  # as older versions wrote it
    path.write_text(json.dumps({"dataset": alias}))
    assert differing(config_values.load(path), Config(dataset=name)) == []
    assert canonical_name(alias) == canonical_name(name)


def test_json_round_trip(tmp_path):
    config = presets.resolve({"dataset": "duke", "limit": "100", "neck": "true"})
    (tmp_path / "config.json").write_text(config.to_json())
    assert config_values.load(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[1]", "list"),
        ('{"epohcs": 3}', "did you mean 'epochs'"),
        ('{"epochs": "three"}', "whole number"),
        ('{"epochs": 2.5}', "whole number"),
        ('{"epochs": true}', "whole number"),
        ('{"epochs": null}', "whole number"),
        ('{"learning_rate": NaN}', "finite"),
        ('{"learning_rate": 1e999}', "finite"),
        ('{"dataset": 3}', "text"),
        ('{"neck": "maybe"}', "true or false"),
        ('{"precision": "float16"}', "float32 or bfloat16"),
        ("[" * 100000, "not JSON"),
        ('{"epochs": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        config_values.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="missing"):
        config_values.load(tmp_path / "config.json")
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        config_values.load(tmp_path / "config.json")


def test_what_a_resume_may_change():
    old = presets.resolve({"dataset": "synthetic"})
    allowed = dataclasses.replace(old, epochs=99, workdir="elsewhere", eval_every=1)
    assert differing(old, allowed) == []
    changed = dataclasses.replace(old, temperature=0.2, seed=4)
    assert differing(old, changed) == ["seed", "temperature"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", -1),
        ("batch_size", 0),
        ("temperature", 0.0),
        ("scale", -1.0),
        ("momentum", 1.5),
        ("merge_fraction", -0.1),
        ("learning_rate", float("inf")),
        ("seed", 2**32),
    ],
)
def test_ranges(field, value):
    with pytest.raises(InputError, match=field):
        Config(**{field: value})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)) | st.text(), _JSON))
@settings(max_examples=300, deadline=None)
def test_any_mapping_gives_a_config_or_one_line(values):
    try:
        config = config_values.from_mapping(values, source="test")
    except InputError as error:
        said = str(error)
        assert "\n" not in said
    else:
        assert (
            config_values.from_mapping(json.loads(config.to_json()), source="x")
            == config
        )
