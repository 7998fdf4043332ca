"""The localizer's parameters: one table of names, defaults, ranges and meanings, and what is made of them. No ROS."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..programs.parameter_table import Parameter, ParameterError
from .depth_surface import DepthNoise
from .localizer import LocalizerSettings, Mounting
from .placement import PlacementSettings
from .profiles import DEFAULT_PROFILES, MAX_FILE_BYTES, ProfileError, read_profiles

_PLACEMENT, _NOISE, _LOCALIZER = PlacementSettings(), DepthNoise(), LocalizerSettings()

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("autostart", False, "configure and activate when the program starts, without being asked"),
    Parameter("fixed_frame", "", "frame in which objects are placed, z up, such as odom; empty for the camera's own"),
    Parameter("ground_frame", "", "whose plane z = 0 is the ground; empty: fixed_frame without depth, none with it"),
    Parameter("camera_height_m", 0.0, "of the camera above the ground, not from a transform; 0 for none", 0.0, 100.0),
    Parameter("camera_pitch_deg", 0.0, "by which it looks below the horizon; with camera_height_m", -89.0, 89.0),
    Parameter("camera_roll_deg", 0.0, "by which the camera is turned clockwise; with camera_height_m", -180.0, 180.0),
    Parameter("image_is_rectified", False, "the image has no distortion, and its intrinsics are in P of camera_info"),
    Parameter(
        "depth",
        "none",
        "none: the ground plane alone; raw: sensor_msgs/Image on depth; compressed: image_transport's compressedDepth",
        choices=("none", "raw", "compressed"),
    ),
    Parameter("depth_tolerance_s", 0.02, "between the stamps of image and depth image; 0 for equal ones", 0.0, 10.0),
    Parameter("wait_s", 0.2, "that tracks wait for their depth image and transforms, at most", 0.0, 10.0),
    Parameter("queue_size", 30, "tracks and depth images that are kept while they wait for each other", 1, 1000),
    Parameter("class_profiles", "", "YAML file of sizes and movements of classes, see docs/space.md; empty for ours"),
    Parameter("pixel_std_px", _PLACEMENT.pixel_std, "standard deviation of a mask's side that is seen", 0.01, 100.0),
    Parameter(
        "outline_std",
        _PLACEMENT.outline_std,
        "standard deviation of what is wrong of a mask's side for many frames, as a share of the box's width or height",
        0.0,
        1.0,
    ),
    Parameter(
        "hidden_std",
        _PLACEMENT.hidden_std,
        "standard deviation of a mask's hidden side, as a share of its distance from the visible part",
        0.0,
        10.0,
    ),
    Parameter("depth_std_m", _NOISE.constant, "standard deviation of the depth, its constant part", 0.001, 10.0),
    Parameter("depth_std_per_m2", _NOISE.quadratic, "its part that grows with the square of the depth", 0.0, 1.0),
    Parameter("attitude_std_deg", _PLACEMENT.attitude_std_deg, "standard deviation of the camera's pitch", 0.001, 45.0),
    Parameter("ground_std_m", _PLACEMENT.ground_std, "standard deviation of the ground's height", 0.001, 10.0),
    Parameter("max_range_m", _PLACEMENT.max_range, "objects further away are not placed", 0.1, 10000.0),
    Parameter(
        "forget_below", _LOCALIZER.forget_below, "existence under which a hidden object is forgotten", 0.001, 0.999
    ),
    Parameter("footprint_existence", 0.2, "existence from which a hidden object is in ~/hidden_footprints", 0.0, 1.0),
    Parameter("footprint_sigma", 1.0, "standard deviations by which its footprint is grown on all sides", 0.0, 5.0),
    Parameter("footprint_max_growth_m", 1.0, "by which it is grown at most", 0.0, 100.0),
    Parameter("footprint_step_m", 0.05, "between the points of a footprint; at most the costmap's cell", 0.01, 1.0),
    Parameter("no_tracks_s", 5.0, "seconds without tracks until the node says why there may be none", 0.1, 3600.0),
    Parameter("age_warn_s", 0.5, "p95 of the results' age from which diagnostics warn", 0.0, 3600.0),
    Parameter("diagnostics_period_s", 1.0, "seconds between diagnostics", 0.05, 3600.0),
)

_SECTIONS = ("/**", "object_localizer", "/object_localizer", "/**/object_localizer")
"""Names of a parameter file's sections that are for the node."""
_VALUES = "ros__parameters"
_OF_EVERY_NODE = ("use_sim_time",)
"""Parameters that ROS declares itself; they change nothing of what is computed."""


def default_values() -> dict[str, Any]:
    """Return the value of every parameter that nobody sets."""
    return {parameter.name: parameter.default for parameter in PARAMETERS}


def read_values(path: str | Path) -> dict[str, Any]:
    """Return the value of every parameter, as a node has it that is started with a ROS 2 parameter file.

    Unlike a node this leaves nothing in the file unread: what it does not know is an error.

    Args:
        path: YAML file such as `config/object_localizer.yaml`. Of several sections a later one goes before.

    Raises:
        ParameterError: the file cannot be read, or what it says cannot be used.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise ParameterError(f"{path} has more than {MAX_FILE_BYTES} bytes; a file of parameters is a page")
        content = yaml.safe_load(text)
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise ParameterError(f"the parameters in {path} cannot be read: {error!s:.300}") from error
    if not isinstance(content, dict):
        raise ParameterError(f"{path} holds no parameters; write them as config/object_localizer.yaml does")
    values = default_values()
    for section, held in content.items():
        if section not in _SECTIONS:
            raise ParameterError(f"{path}: {section!r:.60} is not for object_localizer; use /** or object_localizer")
        found = held.get(_VALUES) if isinstance(held, dict) and len(held) == 1 else None
        if not isinstance(found, dict):
            raise ParameterError(f"{path}: {section} must hold the mapping {_VALUES} and nothing else")
        for name, value in found.items():
            if name in values:
                values[name] = value
            elif name not in _OF_EVERY_NODE:
                raise ParameterError(f"{path}: object_localizer has no parameter {name!r:.60}; see docs/space.md")
    try:
        check_values(values)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error
    return values


def check_values(values: Mapping[str, Any]) -> None:
    """Raises ParameterError for the first value that cannot be used."""
    for parameter in PARAMETERS:
        parameter.check(values[parameter.name])
    if values["camera_height_m"] and values["ground_frame"]:
        raise ParameterError(
            f"camera_height_m={values['camera_height_m']:g} and ground_frame={values['ground_frame']!r} both say where "
            "the ground is; leave one of them at its default"
        )
    for name in ("camera_pitch_deg", "camera_roll_deg"):
        if values[name] and not values["camera_height_m"]:
            raise ParameterError(f"{name}={values[name]:g} has no effect without camera_height_m; set that too")


def localizer_settings(values: Mapping[str, Any]) -> LocalizerSettings:
    """What the core needs; raises ParameterError for a file of profiles that cannot be used."""
    try:
        profiles = read_profiles(values["class_profiles"]) if values["class_profiles"] else DEFAULT_PROFILES
    except ProfileError as error:
        raise ParameterError(f"class_profiles={values['class_profiles']!r}: {error}") from error
    mounting = None
    if values["camera_height_m"]:
        mounting = Mounting(
            float(values["camera_height_m"]), float(values["camera_pitch_deg"]), float(values["camera_roll_deg"])
        )
    ground_frame = values["ground_frame"]
    if values["depth"] == "none" and mounting is None:
        # Nothing else could place an object. With depth a ground that is elsewhere would only make things worse.
        ground_frame = ground_frame or values["fixed_frame"]
    return LocalizerSettings(
        fixed_frame=values["fixed_frame"],
        ground_frame=ground_frame,
        mounting=mounting,
        placement=PlacementSettings(
            pixel_std=float(values["pixel_std_px"]),
            outline_std=float(values["outline_std"]),
            hidden_std=float(values["hidden_std"]),
            depth_noise=DepthNoise(float(values["depth_std_m"]), float(values["depth_std_per_m2"])),
            attitude_std_deg=float(values["attitude_std_deg"]),
            ground_std=float(values["ground_std_m"]),
            max_range=float(values["max_range_m"]),
        ),
        profiles=profiles,
        forget_below=float(values["forget_below"]),
    )
