"""The ranked slots of a video: what is encoded for the file, and that it does not depend on how many are ranked."""

import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model.evaluation.prediction import PredictionSettings, RankedSlots, Record
from a2vis_model.masks.region import RegionMask
from a2vis_model.placement import Placement

FRAMES = 7


def ranked(top: int) -> list[Record]:
    """Rank the slots of a network that never learned, in a video of random pictures."""
    config = tiny_config()
    model, size = tiny_model(config), (config.input_height, config.input_width)
    ranking = RankedSlots(model, config, PredictionSettings(top=top))
    place = Placement.fit(image_height=size[0], image_width=size[1], input_height=size[0], input_width=size[1])
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for _ in range(FRAMES):
            ranking.push(model.extract(torch.rand(1, 1, 3, *size, generator=generator)), place)
        return ranking.flush()


def test_masks_of_a_slot_are_encoded_once_and_only_if_it_is_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, encode = [], RegionMask.coco_rle

    def counted(mask: RegionMask) -> Record:
        encoded.append(mask)
        return encode(mask)

    monkeypatch.setattr(RegionMask, "coco_rle", counted)
    config = tiny_config()
    every = ranked(config.prototypes.count * len(config.classes))
    slots = {str(record["segmentations"] + record["amodal_segmentations"]) for record in every}
    assert len(slots) < len(every)  # slots are ranked with several classes
    masks = [mask for text in slots for mask in text.split("}") if "size" in mask]
    assert len(encoded) == len(masks)
    encoded.clear()
    (best,) = ranked(1)
    known = [mask for kind in ("segmentations", "amodal_segmentations") for mask in best[kind] if mask]
    assert len(encoded) == len(known) > 0
    same = [r for r in every if (r["category_id"], r["segmentations"]) == (best["category_id"], best["segmentations"])]
    assert [{**record, "track_id": 1} for record in same] == [best]
