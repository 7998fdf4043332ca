"""VITA's windows: who attends to whom."""

import pytest
import torch
from torch import nn

from a2vis_model.modeling import InstancePrototypes


def make(encoder_layers, window):
    torch.manual_seed(0)
    return InstancePrototypes(
        classes=2,
        prototypes=4,
        frame_queries=2,
        dim=8,
        heads=2,
        ffn_dim=8,
        encoder_layers=encoder_layers,
        decoder_layers=1,
        window=window,
    ).eval()


class Identity(nn.Module):
    def forward(self, tokens, bias=None):
        return tokens


def readers(module, frames):
    """{frame: the frames whose encoded tokens depend on it}."""
    tokens = torch.randn(1, frames, 2, 8)
    result = {}
    with torch.no_grad():
        before = module(tokens).tokens
        for frame in range(frames):
            changed = tokens.clone()
            changed[:, frame] += torch.randn(2, 8)
            different = (module(changed).tokens - before).abs().amax(dim=(0, 2, 3)) > 1e-6
            result[frame] = different.nonzero().flatten().tolist()
    return result


def groups(*members):
    return {frame: list(group) for group in members for frame in group}


def test_without_windows_all_frames_meet():
    assert readers(make(1, 0), 7) == groups(range(7))
    assert readers(make(1, 4), 4) == groups(range(4))


def test_even_layers_have_plain_windows():
    assert readers(make(1, 4), 10) == groups(range(4), range(4, 8), range(8, 10))


def test_odd_layers_shift_by_half_and_do_not_wrap_around():
    module = make(2, 4)
    module.encoder[0] = Identity()
    # 10 frames are padded to 12 and rolled by 2: windows 2-5, 6-9 and 10, 11, 0, 1, of which 10 and 11 are padding.
    assert readers(module, 10) == groups(range(2), range(2, 6), range(6, 10))


def test_training_does_not_shift():
    module = make(2, 4)
    module.encoder[0] = Identity()
    module.train()
    assert readers(module, 8) == groups(range(4), range(4, 8))


@torch.no_grad()
@pytest.mark.parametrize("frames", [5, 7, 12])
def test_padding_changes_nothing(frames):
    """A plain window of real frames alone gives the same tokens as the padded one."""
    module = make(1, 4)
    tokens = torch.randn(1, frames, 2, 8)
    encoded = module(tokens).tokens
    for start in range(0, frames, 4):
        torch.testing.assert_close(
            encoded[:, start : start + 4], module(tokens[:, start : start + 4]).tokens, atol=1e-5, rtol=1e-5
        )


def test_a_seed_replaces_the_learned_start():
    module = make(1, 0)
    tokens = torch.randn(2, 3, 2, 8)
    learned = module.query_content.expand(2, -1, -1)
    torch.testing.assert_close(module(tokens).raw, module(tokens, learned).raw)
    assert not torch.allclose(module(tokens).raw, module(tokens, learned + 1).raw)
