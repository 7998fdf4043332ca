"""A bag through the node without losses, with the occlusion monitor; ends when the last image is answered.

ros2 launch a2vis_ros replay.launch.py bag:=/path/to/bag image:=/camera/image_raw
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity


def generate_launch_description() -> LaunchDescription:
    """Start the bag player, and everything of a2vis.launch.py with defaults for replay."""
    both = ["true", "false"]
    arguments = [
        DeclareLaunchArgument("bag", description="folder of the bag; of one without metadata.yaml the .mcap itself"),
        DeclareLaunchArgument("image", default_value="/image", description="topic of the images in the bag"),
        DeclareLaunchArgument("rate", default_value="1.0", description="speed of the bag, 1.0 is its own"),
        DeclareLaunchArgument(
            "start_delay", default_value="2.0", description="seconds for player and node to find each other"
        ),
        DeclareLaunchArgument("loop", default_value="false", choices=both, description="play the bag again and again"),
        DeclareLaunchArgument("weights", default_value="", description="name of shipped weights, or path of a file"),
        DeclareLaunchArgument("region", default_value="", description="the monitor's region, in pixels"),
        DeclareLaunchArgument("rviz", default_value="false", choices=both, description="start RViz too"),
    ]
    a2vis = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).resolve().with_name("a2vis.launch.py"))),
        launch_arguments={
            "image": LaunchConfiguration("image"),
            "weights": LaunchConfiguration("weights"),
            "region": LaunchConfiguration("region"),
            "rviz": LaunchConfiguration("rviz"),
            "policy": "every_frame",
            "use_sim_time": "true",
            "monitor": "true",
        }.items(),
    )
    return LaunchDescription([*arguments, a2vis, OpaqueFunction(function=_player)])


def _player(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the player, which plays once the node is active, whoever activates it.

    Earlier images would be lost, and configuring takes time, minutes where an engine is built.
    """
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock", "--disable-keyboard-controls"]
    command += ["--rate", LaunchConfiguration("rate"), "--delay", LaunchConfiguration("start_delay")]
    loop = LaunchConfiguration("loop").perform(context) == "true"
    # 0 waits as long as it takes until the node's middleware has all images.
    command += ["--loop"] if loop else ["--wait-for-all-acked", "0"]
    return [
        Node(
            package="a2vis_ros",
            executable="live_replay",
            namespace=LaunchConfiguration("namespace"),
            arguments=["--node", LaunchConfiguration("name"), "--", *command],
            on_exit=Shutdown(reason="the replay has ended"),
            output="screen",
        )
    ]
