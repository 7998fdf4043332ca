"""Weight files: whole or refused."""

import json

import pytest
import torch
from networks import tiny_config, tiny_model
from safetensors.torch import load_file, save_file

from a2vis_model import CheckpointError, ConfigError, load_weights, save_weights
from a2vis_model.config import config_to_dict
from a2vis_model.weights import read_config


@pytest.fixture
def saved(tmp_path, model, config):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model, config)
    return path


def rewrite(path, change_tensors=lambda tensors: tensors, **metadata):
    """The file again with something changed."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        original = dict(file.metadata())
    save_file(change_tensors(load_file(path)), path, metadata={**original, **metadata})


@torch.no_grad()
def test_a_network_comes_back_the_same(saved, model, config):
    loaded, loaded_config = load_weights(saved)
    assert loaded_config == config
    assert read_config(saved) == config
    image = torch.randn(1, 3, 3, 64, 96)
    for a, b in zip(model.extract(image), loaded.eval().extract(image), strict=True):
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b)


@torch.no_grad()
def test_values_may_be_changed_where_the_tensors_still_fit(saved):
    loaded, config = load_weights(saved, {"samh": {"key_stride": 8}, "clip_length": 2})
    assert (config.samh.key_stride, config.samh.layers, config.clip_length) == (8, 2, 2)
    assert loaded.extract(torch.randn(1, 2, 3, 64, 96)).amodal_attention.shape[-2:] == (8, 12)
    with pytest.raises(CheckpointError, match="missing"):
        load_weights(saved, {"samh": {"layers": 3}})
    with pytest.raises(ConfigError, match=r"unknown key samh\.depth"):
        load_weights(saved, {"samh": {"depth": 3}})


def test_half_is_half_the_size_and_loads_as_fp32(tmp_path, model, config, saved):
    path = tmp_path / "half.safetensors"
    save_weights(path, model, config, half=True)
    assert path.stat().st_size < 0.6 * saved.stat().st_size
    loaded, _ = load_weights(path)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    for (name, a), b in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3, msg=name)


def test_variants_keep_their_configuration(tmp_path):
    config = tiny_config("genvis-online-amodal")
    save_weights(tmp_path / "g.safetensors", tiny_model(config), config)
    assert load_weights(tmp_path / "g.safetensors")[1] == config


def test_saving_leaves_no_half_file_behind(tmp_path, model, config, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    path = tmp_path / "tiny.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr("a2vis_model.weights.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_weights(path, model, config)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_broken_files_get_one_clear_error(saved, tmp_path):
    content = saved.read_bytes()
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "truncated"),
        "truncated": (content[: len(content) // 2], "truncated"),
        "text": (b"hello, world, this is no weight file", "truncated or not"),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(CheckpointError, match=message) as caught:
            load_weights(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_foreign_and_inconsistent_files_are_refused(saved, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="import-weights"):
        load_weights(foreign)

    name = "prototypes.query_content"
    rewrite(saved, lambda t: {k: v for k, v in t.items() if k != name})
    with pytest.raises(CheckpointError, match=f"lacks '{name}'"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {**t, "extra": torch.zeros(1)}, "unknown 'extra'"),
        (lambda t: {**t, "prototypes.query_content": torch.zeros(3, 32)}, "prototypes.query_content is"),
        (lambda t: {**t, "prototypes.query_content": torch.full((10, 32), torch.nan)}, "NaN"),
        (
            lambda t: {**t, "prototypes.query_content": torch.full((10, 32), 1e300, dtype=torch.float64)},
            "NaN or infinity",
        ),
        (
            lambda t: {**t, "prototypes.query_content": torch.full((10, 32), torch.nan).to(torch.float8_e4m3fn)},
            "NaN",
        ),
    ],
)
def test_wrong_tensors_are_named(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load_weights(saved)


@pytest.mark.parametrize(
    "text", ["{", "{}", json.dumps({"name": "x", "layers": 4}), "[" * 100_000, "9" * 5000], ids=len
)
def test_an_unusable_configuration_is_named(saved, text):
    rewrite(saved, config=text)
    with pytest.raises(CheckpointError, match="configuration is unusable"):
        load_weights(saved)


def test_a_configuration_out_of_range_is_named_before_anything_is_built(saved, config):
    rewrite(saved, config=json.dumps({**config_to_dict(config), "heads": 0}))
    for read in (load_weights, read_config):
        with pytest.raises(CheckpointError, match=r"tiny.safetensors: its configuration is unusable \(heads=0"):
            read(saved)


def test_a_network_too_large_for_the_memory_is_one_error(saved, monkeypatch):
    def full(_):
        raise RuntimeError("can't allocate memory: you tried to allocate 9 bytes\nframe #0: c10::alloc_cpu")

    monkeypatch.setattr("a2vis_model.weights.build_blank", full)
    with pytest.raises(CheckpointError, match=r"allocate 9 bytes\); is there memory for it\?$"):
        load_weights(saved)
