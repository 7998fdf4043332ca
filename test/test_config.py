"""Presets, variants and what is refused."""

import dataclasses

import pytest
import yaml

from a2vis_model import ConfigError, load_config, preset_names, variant_names
from a2vis_model.config import config_from_dict, config_to_dict


def test_all_presets_and_variants_load():
    assert preset_names() == ["onboard", "r50", "swin_l"]
    for preset in preset_names():
        for variant in variant_names():
            config = load_config(preset, variant)
            assert config.name == (preset if variant == "a2vis" else f"{preset}/{variant}")


def test_the_papers_ablations_and_baselines_are_there():
    names = set(variant_names())
    assert {"a2vis", "a2vis-no-samh", "a2vis-no-vspm", "a2vis-no-aspm", "a2vis-no-priors"} <= names
    assert {f"a2vis-layers-{n}" for n in (1, 3, 5)} | {f"a2vis-convs-{n}" for n in (2, 6)} <= names
    assert {f"a2vis-clip-{n}" for n in (1, 5, 7)} <= names
    for baseline in ("genvis-online", "genvis-semi-online", "vita", "mask2former-vis", "minvis", "mask2former"):
        assert {baseline, f"{baseline}-amodal"} <= names
        assert load_config("r50", f"{baseline}-amodal").supervision == "amodal"
    assert load_config("r50", "a2vis-layers-5").samh.layers == 5
    assert load_config("r50", "vita").prototypes.window == 6


def test_a_configuration_survives_plain_values():
    config = load_config("swin_l", "a2vis-no-vspm")
    assert config_from_dict(yaml.safe_load(yaml.safe_dump(_lists(config_to_dict(config))))) == config


def _lists(value):
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_height": 100}, "input_height=100"),
        ({"input_height": "320"}, "input_height='320'; expected int"),
        ({"input_height": True}, "expected int"),
        ({"clip_length": 0}, "clip_length=0"),
        ({"dim": 130}, "dim=130"),
        ({"classes": []}, "classes="),
        ({"classes": ["fish", "fish"]}, "classes="),
        ({"classes": "fish"}, "expected a list"),
        ({"colour": 1}, "unknown key colour"),
        ({"samh": {"depth": 3}}, "unknown key samh.depth"),
        ({"samh": 3}, "samh"),
        ({"backbone": {"name": "vgg"}}, "backbone.name='vgg'"),
        ({"supervision": "visible"}, "supervision='visible'"),
        ({"pixel_decoder": {"groups": 7}}, "groups=7"),
    ],
)
def test_bad_values_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        load_config("onboard", **change)


def test_unknown_names_list_the_known():
    with pytest.raises(ConfigError, match=r"'r5O'.*onboard, r50, swin_l"):
        load_config("r5O")
    with pytest.raises(ConfigError, match=r"'genvis'.*genvis-online"):
        load_config("r50", "genvis")


def test_a_preset_may_be_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("classes: [cup]\ninput_height: 64\ninput_width: 64\nbackbone: {name: resnet50}\n", encoding="utf-8")
    config = load_config(str(path))
    assert (config.name, config.classes, config.dim) == ("mine", ("cup",), 256)
    path.write_text("classes: [cup]\ninput_height: 64\ninput_width: 64\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="backbone is missing"):
        load_config(str(path))
    path.write_text("classes: [cup", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(str(path))
    with pytest.raises(ConfigError, match="No such file"):
        load_config(str(tmp_path / "other.yaml"))


def test_configurations_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config("onboard").dim = 3
