"""Python packages that the programs need and that a build by colcon does not bring. Needs nothing but Python itself."""

import importlib.util

_PIP = "pip install"
REQUIRED = {
    "rclpy": "source ROS 2, e.g. . /opt/ros/jazzy/setup.bash",
    "a2vis_ros.msg": "colcon build --packages-select a2vis_ros, then . install/setup.bash",
    "torch": f"{_PIP} torch",
    "numpy": f"{_PIP} numpy",
    "PIL": f"{_PIP} pillow",
    "cv2": f"{_PIP} opencv-python-headless",
    "safetensors": f"{_PIP} safetensors",
    "scipy": f"{_PIP} scipy",
    "tqdm": f"{_PIP} tqdm",
    "yaml": f"{_PIP} pyyaml",
}
"""What the node needs, and how it is had."""
OPTIONAL = {
    "av": (f"{_PIP} av", "to_bag from videos"),
    "rosbags": (f"{_PIP} rosbags", "to_bag and replay_evaluate"),
    "pycocotools": (f"{_PIP} pycocotools", "replay_evaluate and a2vis evaluate"),
    "filterpy": (f"{_PIP} filterpy", "object_localizer"),
    "trackeval": (f"{_PIP} trackeval==1.3.0", "replay_evaluate and a2vis evaluate"),
    "matplotlib": (f"{_PIP} matplotlib", "the plots of a2vis evaluate"),
    "launch_ros": ("install ROS 2's launch_ros", "the launch files"),
    "vision_msgs": ("install ROS 2's vision_msgs", "~/detections, and object_localizer's ~/detections_3d"),
    "tf2_ros": ("install ROS 2's tf2_ros_py", "object_localizer's fixed_frame and ground_frame"),
    "foxglove_msgs": ("install ROS 2's foxglove_msgs", "object_localizer's ~/image_annotations"),
}
"""What some of it needs: how it is had, and what for."""


def installed(name: str) -> bool:
    """Whether a package is there; it is not imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        # The package around it is missing.
        return False


def remedy(name: str) -> str:
    """How a package, or that of a module, is had."""
    package = name.partition(".")[0]
    for known in (name, package):
        if known in REQUIRED:
            return REQUIRED[known]
        if known in OPTIONAL:
            return OPTIONAL[known][0]
    return f"install {package}"
