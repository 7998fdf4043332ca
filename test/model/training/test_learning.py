"""That it all learns."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import tiny_config
from training_runs import CPU, VideoList, dataset, training

from a2vis_model import (
    ModelConfig,
    VideoNetwork,
    build_model,
)
from a2vis_model.render import render_clip
from a2vis_model.training import (
    Augmentation,
    Batch,
    LossSettings,
    OptimiserSettings,
    PointSampling,
    RenderedVideo,
    Run,
    augment,
    train,
)


def occluded_clips(config: ModelConfig) -> list[RenderedVideo]:
    """Two rendered clips with two or more large fish, one of them at least a tenth and at most two thirds hidden."""
    clips: list[RenderedVideo] = []
    for seed in itertools.count(31):
        clip = render_clip(world="aquarium", seed=seed, frames=6, height=config.input_height, width=config.input_width)
        large = tuple(o for o in clip.objects if o.amodal_areas.min() > 500)
        hidden = [1 - o.visible_areas.sum() / o.amodal_areas.sum() for o in large]
        if len(large) >= 2 and 0.1 < max(hidden) < 0.67:
            clips.append(RenderedVideo(dataclasses.replace(clip, objects=large), config.classes))
        if len(clips) == 2:
            return clips
    raise AssertionError


@torch.no_grad()
def follow(model: VideoNetwork, config: ModelConfig, video: RenderedVideo) -> tuple[list[float], int]:
    """IoU of each object's best track with its amodal masks, and how often another track is better in a frame."""
    height, width = config.input_height, config.input_width
    sample = augment(
        video.load(range(video.length), seen_only=True),
        Augmentation.none(),
        height=height,
        width=width,
        rng=np.random.default_rng(0),
    )
    batch = Batch.collate([sample])
    state, masks = model.initial_state(), []
    for start in range(0, video.length, config.clip_length):
        images = batch.cut(slice(start, start + config.clip_length)).normalised()
        prediction, state = model.step(model.extract(images), state)
        assert prediction.amodal is not None
        masks.append(F.interpolate(prediction.amodal[0], size=(height, width), mode="bilinear") > 0)
    found = prediction.classes[0].argmax(-1) < len(config.classes)
    tracks, objects = torch.cat(masks)[:, found].float(), batch.masks("amodal")[0].float()
    overlap = torch.einsum("tqhw,tnhw->tqn", tracks, objects)
    union = tracks.sum(dim=(2, 3))[:, :, None] + objects.sum(dim=(2, 3))[:, None] - overlap
    iou, best = (overlap.sum(0) / union.sum(0)).max(dim=0)
    by_frame = (overlap / union.clamp(min=1)).argmax(dim=1)
    return iou.tolist(), int((by_frame != best).sum())


@pytest.mark.slow
def test_a_tiny_network_learns_two_clips_by_heart(tmp_path: Path) -> None:
    config = tiny_config(input_height=96, input_width=128, dim=48)
    config = dataclasses.replace(config, samh=dataclasses.replace(config.samh, residual=True))
    videos = occluded_clips(config)
    method = training(
        "joint",
        steps=260,
        losses=LossSettings(sampling=PointSampling(points=512)),
        optimiser=OptimiserSettings(learning_rate=2e-3, backbone_factor=1.0, schedule="cosine", warmup=20),
    )
    torch.manual_seed(0)
    model = build_model(config)
    data = dataset(
        method.frames_of(config),
        sources=[VideoList(videos)],
        height=config.input_height,
        width=config.input_width,
        augmentation=Augmentation.none(),
    )
    torch.set_flush_denormal(True)
    assert train(model, config, method, data, None, Run(output=tmp_path, device=CPU), origin={}, resume=False)
    model.eval()
    results = [follow(model, config, video) for video in videos]
    assert np.mean([iou for ious, _ in results for iou in ious]) > 0.9
    assert sum(switches for _, switches in results) == 0
