"""Python packages that the programs need and colcon does not install. This module needs nothing but Python itself."""

import importlib.util


def _pip(package: str) -> str:
    """How a package of pip is had: in an environment of its own, since Ubuntu's pip refuses to change the system's."""
    return f"pip install {package}, in the virtual environment of docs/install.md"


REQUIRED = {
    "rclpy": "source ROS 2, e.g. . /opt/ros/jazzy/setup.bash",
    "a2vis_ros.msg": "colcon build --packages-select a2vis_ros, then . install/setup.bash",
    "torch": _pip("torch"),
    "numpy": _pip("numpy"),
    "PIL": _pip("pillow"),
    "cv2": _pip("opencv-python-headless"),
    "safetensors": _pip("safetensors"),
    "simplejpeg": _pip("simplejpeg"),
    "tqdm": _pip("tqdm"),
    "yaml": _pip("pyyaml"),
}
"""Packages that the node needs, and how to install each."""
OPTIONAL = {
    "av": (_pip("av"), "to_bag from videos"),
    "rosbags": (_pip("rosbags"), "to_bag and replay_evaluate"),
    "pycocotools": (_pip("pycocotools"), "replay_evaluate and a2vis evaluate"),
    "filterpy": (_pip("filterpy"), "object_localizer"),
    "scipy": (_pip("scipy"), "object_localizer, replay_evaluate and a2vis evaluate"),
    "trackeval": (_pip("trackeval==1.3.0"), "replay_evaluate and a2vis evaluate"),
    "matplotlib": (_pip("matplotlib"), "the plots of a2vis evaluate"),
    "launch_ros": ("install ROS 2's launch_ros", "the launch files"),
    "vision_msgs": ("install ROS 2's vision_msgs", "~/detections, and object_localizer's ~/detections_3d"),
    "tf2_ros": ("install ROS 2's tf2_ros_py", "object_localizer's fixed_frame and ground_frame"),
    "foxglove_msgs": ("install ROS 2's foxglove_msgs", "object_localizer's ~/image_annotations"),
}
"""Packages that single programs need: how to install each, and for what."""


def installed(name: str) -> bool:
    """Return whether a package is installed, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        # The parent package is missing.
        return False


def remedy(name: str) -> str:
    """Return how to install a package, or the package of a module."""
    package = name.partition(".")[0]
    for known in (name, package):
        if known in REQUIRED:
            return REQUIRED[known]
        if known in OPTIONAL:
            return OPTIONAL[known][0]
    return f"install {package}"
