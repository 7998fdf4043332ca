"""A bag through the node, nothing lost, with the occlusion monitor; ends with the bag.

ros2 launch a2vis_ros replay.launch.py bag:=/path/to/bag image:=/camera/image_raw
"""

from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    RegisterEventHandler,
    Shutdown,
)
from launch.conditions import IfCondition, UnlessCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.event_handlers import OnStateTransition

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The bag player, and everything of a2vis.launch.py with defaults for replay."""
    both = ["true", "false"]
    arguments = [
        DeclareLaunchArgument("bag", description="folder of the bag"),
        DeclareLaunchArgument("image", default_value="/image", description="topic of the images in the bag"),
        DeclareLaunchArgument("rate", default_value="1.0", description="speed of the bag, 1.0 is its own"),
        DeclareLaunchArgument(
            "start_delay", default_value="2.0", description="seconds for player and node to find each other"
        ),
        DeclareLaunchArgument("loop", default_value="false", choices=both, description="play the bag again and again"),
        DeclareLaunchArgument("weights", default_value="onboard", description="name of weights that ship, or a file"),
        DeclareLaunchArgument("region", default_value="[0, 0, 0, 0]", description="the monitor's region, in pixels"),
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
    command = ["ros2", "bag", "play", LaunchConfiguration("bag"), "--clock", "--disable-keyboard-controls"]
    command += ["--rate", LaunchConfiguration("rate"), "--delay", LaunchConfiguration("start_delay")]
    once = ExecuteProcess(
        cmd=[*command, "--wait-for-all-acked", "10000"],
        condition=UnlessCondition(LaunchConfiguration("loop")),
        on_exit=Shutdown(reason="the bag has ended"),
        output="screen",
    )
    again = ExecuteProcess(
        cmd=[*command, "--loop"], condition=IfCondition(LaunchConfiguration("loop")), output="screen"
    )
    # Images from before are lost, and configuring takes its time, minutes where an engine is built. The only node that
    # has states is ours. Once, as a process cannot be started twice: whoever activates again plays the bag himself.
    play = OnStateTransition(goal_state="active", entities=[once, again], handle_once=True)
    return LaunchDescription([*arguments, RegisterEventHandler(play), a2vis])
