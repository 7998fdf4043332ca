"""Rendered clips as frames for the localizer, with their truth. No ROS."""

import numpy as np
from scipy.spatial.transform import Rotation

from a2vis_model.render import RenderedClip

from ..planner.mask_codec import encode_image
from ..space.camera import CameraModel
from ..space.rehearsal import CAMERA, SpaceFrame, true_tracks
from ..space.transforms import RigidTransform
from ..space.truth import TrueThing, width_across


def space_frames(clip: RenderedClip) -> list[SpaceFrame]:
    """The frames of a clip that was rendered with its truth, with the tracks of a perfect tracker."""
    truth = clip.space
    if truth is None or clip.depth is None:
        raise ValueError("the clip was rendered without space=True")
    masks = [(rendered.visible, rendered.amodal) for rendered in clip.objects]
    known: set[int] = set()
    frames = []
    for t, seconds in enumerate(truth.stamps):
        focal = float(truth.camera.focal[t])
        camera = CameraModel(truth.width, truth.height, focal, focal, *truth.camera.centre, frame_id=CAMERA)
        rotation = Rotation.from_quat(truth.camera.orientation[t]).as_matrix()
        pose = RigidTransform(rotation, truth.camera.position[t])
        things = []
        for thing, (visible, amodal) in zip(truth.things, masks, strict=True):
            whole = encode_image(amodal[t])
            middle, size, yaw = thing.middle[t], thing.size[t], float(thing.yaw[t])
            things.append(
                TrueThing(
                    thing_id=thing.id + 1,
                    class_name=thing.class_name,
                    position=middle,
                    velocity=thing.velocity[t],
                    size=size,
                    width=width_across(size, yaw, middle, whole, camera, pose),
                    visible=encode_image(visible[t]),
                    amodal=whole,
                )
            )
        frames.append(
            SpaceFrame(
                stamp_ns=round(float(seconds) * 1e9),
                camera=camera,
                world_from_camera=pose,
                depth=(clip.depth[t] / np.float32(1000)).astype(np.float32),
                tracks=true_tracks(things, known),
                things=things,
            )
        )
    return frames
