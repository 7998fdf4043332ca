"""Two cameras, with a node each in a namespace of its own; an example to copy.

ros2 launch a2vis_ros two_cameras.launch.py left_image:=/left/image_raw right_image:=/right/image_raw
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from a2vis_model.backend_names import BACKENDS
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Include a2vis.launch.py twice.

    Each node has its own model and uses memory for it; `cameras` of a2vis.launch.py lets one model serve both.
    """
    sides = [
        DeclareLaunchArgument(f"{side}_{what}", default_value=default, description=f"the {side} camera's {description}")
        for side in ("left", "right")
        for what, default, description in (
            ("namespace", side, "namespace"),
            ("image", "image", "topic of images; a relative one is in its namespace"),
        )
    ]
    both = {
        "weights": ("", "name of weights that ship, or path of a file; left out, as params_file says, as those below"),
        "device": ("", "auto, cpu, cuda, cuda:N, intel:gpu or intel:npu"),
        "backend": ("", f"backend of the network: {', '.join(BACKENDS)}"),
        "autostart": ("true", "configure and activate at once; false for a lifecycle manager"),
        "monitor": ("false", "start an occlusion monitor for each too"),
    }
    shared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in both.items()
    ]

    def camera(side: str) -> GroupAction:
        source = PythonLaunchDescriptionSource(str(Path(__file__).resolve().with_name("a2vis.launch.py")))
        given = {name: LaunchConfiguration(name) for name in both}
        given |= {name: LaunchConfiguration(f"{side}_{name}") for name in ("namespace", "image")}
        # The group keeps the arguments of one camera from the other.
        return GroupAction([IncludeLaunchDescription(source, launch_arguments=given.items())])

    return LaunchDescription([*sides, *shared, camera("left"), camera("right")])
