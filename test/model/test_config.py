"""Presets, variants and what is refused."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch
import yaml

from a2vis_model import ConfigError, load_config, preset_names, variant_names
from a2vis_model.backbone_config import BACKBONES
from a2vis_model.config import change_config, config_from_dict, config_to_dict, current_fields, parse_changes
from a2vis_model.modeling import build_detector


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
        ({"heads": 0}, "heads=0; choose 1 to"),
        ({"dim": 2, "heads": 1}, "dim=2; choose 4 to"),
        ({"dim": 48, "heads": 5}, "dim=48 is not a multiple of 4 and of twice heads=5, so of 20"),
        ({"dim": 1 << 40}, "dim=1099511627776; choose 4 to 2048"),
        ({"dim": 1 << 70}, "dim is a number of more than 64 bits"),
        ({"input_width": 1 << 20}, "input_width=1048576; choose 32 to"),
        ({"clip_length": 1 << 20}, "clip_length=1048576"),
        ({"supervision": "visible", "association": "cosine"}, "clip_length=3; association='cosine'"),
        ({"classes": [str(number) for number in range(10_001)]}, "1 to 10000 different names"),
        ({"backbone": {"depths": [2, 2]}}, "backbone.depths has 2 entries"),
        ({"backbone": {"depths": [2, 2, 0, 2]}}, "backbone.depths=.*choose 1 to"),
        ({"backbone": {"heads": [6, 12, 24, 47]}}, "backbone.heads=.*47 is no divisor of its stage's 1536"),
        ({"backbone": {"heads": [6, 12, 24, 0]}}, "backbone.heads=.*choose 1 to"),
        ({"backbone": {"window": 1000}}, "backbone.window=1000"),
        ({"backbone": {"drop_path_rate": 1.5}}, "backbone.drop_path_rate=1.5"),
        ({"backbone": {"drop_path_rate": float("nan")}}, "backbone.drop_path_rate=nan"),
        ({"backbone": {"drop_path_rate": 10**400}}, "backbone.drop_path_rate is a number of more than 64 bits"),
        ({"pixel_decoder": {"groups": 0}}, "pixel_decoder.groups=0"),
        ({"pixel_decoder": {"attended": 9}}, "pixel_decoder.attended=9; choose 1 to 3"),
        ({"frame_decoder": {"layers": 1 << 20}}, "frame_decoder.layers=1048576"),
        ({"prototypes": {"count": -5}}, "prototypes.count=-5; choose 1 to"),
        ({"prototypes": {"window": -1}}, "prototypes.window=-1; choose 0 to"),
        ({"samh": {"conv_layers": 1}}, "samh.conv_layers=1; choose 2 to"),
        ({"samh": {"feature_stride": 5}}, "samh.feature_stride=5; choose 4 or a multiple of it"),
        ({"samh": {"feature_stride": 8, "key_stride": 4}}, "samh.key_stride=4; choose samh.feature_stride=8 or a mult"),
        ({"samh": {"key_stride": 20}}, "samh.key_stride=20; choose samh.feature_stride=8 or a multiple of it"),
        ({"samh": {"key_stride": 40}}, "samh.key_stride=40 is no divisor of input_height=288"),
    ],
)
def test_bad_values_are_named(change, message):
    backbone = change.get("backbone")
    preset = "swin_l" if isinstance(backbone, dict) and "name" not in backbone else "onboard"
    with pytest.raises(ConfigError, match=message):
        load_config(preset, **change)


def test_a_backbone_has_its_own_fields_alone():
    with pytest.raises(ConfigError, match=r"unknown key backbone\.embed_dim; known are name"):
        load_config("r50", backbone={"embed_dim": 96})
    # Another backbone takes nothing from the preset's.
    assert config_to_dict(load_config("swin_l", backbone={"name": "resnet50"}))["backbone"] == {"name": "resnet50"}
    assert load_config("swin_l", backbone={"window": 7}).backbone == dataclasses.replace(
        load_config("swin_l").backbone, window=7
    )


def test_files_of_earlier_versions_hold_the_fields_of_swin_for_every_backbone():
    former = config_to_dict(load_config("onboard"))
    former["backbone"] |= {"embed_dim": 192, "depths": [2, 2, 18, 2], "heads": [6, 12, 24, 48]}
    former["backbone"] |= {"window": 12, "drop_path_rate": 0.3}
    with pytest.raises(ConfigError, match="unknown key backbone"):
        config_from_dict(former)
    assert config_from_dict(current_fields(former)) == load_config("onboard")
    swin = config_to_dict(load_config("swin_l"))
    assert current_fields(swin) == swin


def test_every_backbone_is_built_from_its_line_of_the_table():
    small = {"swin": {"embed_dim": 16, "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 8), "window": 4}}
    for name in BACKBONES:
        config = load_config("onboard", backbone={"name": name, **small.get(name, {})})
        with torch.device("meta"):
            assert len(build_detector(config).backbone.channels) == 4


def test_changes_are_written_as_in_a_preset():
    changes = parse_changes(["samh.key_stride=16", "samh.layers=3", "classes=[cup, box]", "update.gate=false"])
    assert changes == {
        "samh": {"key_stride": 16, "layers": 3},
        "classes": ["cup", "box"],
        "update": {"gate": False},
    }
    config = change_config(load_config("onboard"), changes)
    assert (config.samh.key_stride, config.samh.feature_stride, config.classes) == (16, 8, ("cup", "box"))
    for text, message in (
        ("samh", "give KEY=VALUE"),
        ("=8", "give KEY=VALUE"),
        ("samh..layers=3", "give KEY=VALUE"),
        ("classes=[cup", "not valid YAML"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_changes([text])
    with pytest.raises(ConfigError, match=r"unknown key samh\.stride"):
        change_config(config, parse_changes(["samh.stride=8"]))


@pytest.mark.parametrize("text", ["a: 2001-99-99", "a: !!bool x", "[" * 10_000, "a: " + "9" * 5000], ids=len)
def test_what_breaks_the_reader_of_a_preset_is_one_error(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(str(path))


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


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match=r"mine\.yaml: is not a regular file; give an existing"):
        load_config(str(tmp_path / "mine.yaml"))
