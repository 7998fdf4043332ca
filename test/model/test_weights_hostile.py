"""Weight files that ask for more than they hold are refused before memory is taken."""

import json

import psutil
import pytest
import torch
from networks import tiny_config
from safetensors.torch import save_file

from a2vis_model import CheckpointError, load_config, load_weights, preset_names, weights
from a2vis_model.config import config_to_dict


@pytest.fixture
def blank(monkeypatch):
    """A list that gets a pair for every network that is built for a file: bytes of its tensors, and of memory taken."""
    found = []
    build = weights.build_blank

    def note(config):
        before = psutil.Process().memory_info().rss
        model = build(config)
        taken = psutil.Process().memory_info().rss - before
        found.append((sum(tensor.nbytes for tensor in model.state_dict().values()), taken))
        return model

    monkeypatch.setattr(weights, "build_blank", note)
    return found


def test_a_small_file_that_asks_for_a_huge_network_is_refused_before_it_takes_memory(tmp_path, blank):
    values = config_to_dict(tiny_config())
    values |= {"dim": 2048, "mask_dim": 2048}
    values["frame_decoder"] |= {"queries": 4096, "layers": 8, "ffn_dim": 16384}
    values["pixel_decoder"] |= {"ffn_dim": 16384, "layers": 8}
    values["prototypes"] |= {"count": 4096, "encoder_layers": 8, "decoder_layers": 8, "ffn_dim": 16384}
    path = tmp_path / "small.safetensors"
    save_file({}, path, metadata={"format": "a2vis/1", "config": json.dumps(values), "notes": ""})
    assert path.stat().st_size < 2000
    with pytest.raises(CheckpointError, match=r"lacks '.*missing, 0 unknown\)"):
        load_weights(path)
    ((size, taken),) = blank
    assert size > 4 << 30
    assert taken < 256 << 20


def test_another_shape_is_refused(tmp_path, model, config):
    path = tmp_path / "tiny.safetensors"
    tensors = model.state_dict() | {"prototypes.query_content": torch.zeros(3, 32)}
    save_file(tensors, path, metadata={"format": "a2vis/1", "config": json.dumps(config_to_dict(config)), "notes": ""})
    with pytest.raises(CheckpointError, match=r"query_content is \[3, 32\], its configuration says \[10, 32\]"):
        load_weights(path)


def test_tables_that_an_input_size_asks_for_have_a_limit(tmp_path, model, config, blank):
    """They are in no file: 4096x4096 pixels in windows of 32 alone make a mask of 4 GiB."""
    values = config_to_dict(config) | {"input_height": 4096, "input_width": 4096, "clip_length": 1024}
    values["backbone"]["window"] = 32
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensors[name] = tensor
        if "bias_table" in name:
            tensors[name] = torch.zeros(63 * 63, tensor.shape[1])
    path = tmp_path / "tables.safetensors"
    save_file(tensors, path, metadata={"format": "a2vis/1", "config": json.dumps(values), "notes": ""})
    with pytest.raises(CheckpointError, match="for 4096x4096 pixels its network needs tables of"):
        load_weights(path)
    assert not blank


@pytest.mark.parametrize("preset", [*preset_names(), "tiny"])
def test_what_tables_cannot_exceed_is_more_than_they_take_and_no_preset_has_to_be_counted(preset):
    config = tiny_config() if preset == "tiny" else load_config(preset)
    network = weights.build_blank(config)
    network.prepare(config.input_height, config.input_width, config.clip_length)
    stored = network.state_dict()
    tables = sum(buffer.nbytes for name, buffer in network.named_buffers() if name not in stored)
    assert 0 < tables <= weights._most_bytes_of_tables(config) <= weights._MOST_TABLES
