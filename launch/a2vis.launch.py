"""One camera: the node, and if asked for the occlusion monitor and RViz.

ros2 launch a2vis_ros a2vis.launch.py image:=/camera/image_raw
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import LifecycleNode, LifecycleTransition, Node
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parent.parent
"""Where config and rviz are, installed and in a source tree."""


def generate_launch_description() -> LaunchDescription:
    """All arguments and nodes."""

    def argument(name: str, default: str, description: str, choices: list[str] | None = None) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    def given(name: str, kind: type) -> ParameterValue:
        return ParameterValue(LaunchConfiguration(name), value_type=kind)

    both = ["true", "false"]
    arguments = [
        argument("image", "image", "topic of the images; for compressed ones without its /compressed"),
        argument("transport", "raw", "raw or compressed images", ["raw", "compressed"]),
        argument("policy", "latest", "latest: bounded age; every_frame: nothing lost", ["latest", "every_frame"]),
        argument("weights", "onboard", "name of weights that ship, see `a2vis weights`, or path of a weight file"),
        argument("device", "auto", "auto, cpu, cuda or cuda:N"),
        argument("backend", "auto", "what computes the network", ["auto", "eager", "compile", "tensorrt"]),
        argument("precision", "fp32", "of the network; fp16 needs a GPU", ["fp32", "fp16"]),
        argument("namespace", "", "namespace of all nodes, one for each camera"),
        argument("name", "a2vis", "name of the node"),
        argument("params_file", str(SHARE / "config" / "a2vis.yaml"), "parameters; the arguments above go before them"),
        argument("autostart", "true", "configure and activate at once; false for a lifecycle manager", both),
        argument("use_sim_time", "false", "take the time from /clock", both),
        argument("monitor", "false", "start the occlusion monitor too", both),
        argument("region", "[0, 0, 0, 0]", "the monitor's region: [x, y, width, height] in pixels; all 0 for all"),
        argument("rviz", "false", "start RViz too", both),
        argument("large_images", "true", "use the Fast DDS profile that lets large images through", both),
        argument("log_level", "info", "of the node", ["debug", "info", "warn", "error"]),
    ]
    profile = SetEnvironmentVariable(
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        str(SHARE / "config" / "fastdds_large_image.xml"),
        condition=IfCondition(LaunchConfiguration("large_images")),
    )
    sim_time = {"use_sim_time": given("use_sim_time", bool)}
    node = LifecycleNode(
        package="a2vis_ros",
        executable="a2vis_node",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params_file"),
            sim_time,
            {name: given(name, str) for name in ("transport", "policy", "weights", "device", "backend", "precision")},
        ],
        remappings=[
            ("image", LaunchConfiguration("image")),
            ("image/compressed", PythonExpression(["'", LaunchConfiguration("image"), "/compressed'"])),
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    start = LifecycleTransition(
        lifecycle_node_names=[[LaunchConfiguration("namespace"), "/", LaunchConfiguration("name")]],
        transition_ids=[Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE],
        condition=IfCondition(LaunchConfiguration("autostart")),
    )
    monitor = Node(
        package="a2vis_ros",
        executable="occlusion_monitor",
        namespace=LaunchConfiguration("namespace"),
        parameters=[sim_time, {"region": given("region", list[int])}],
        remappings=[("a2vis/tracks", PythonExpression(["'", LaunchConfiguration("name"), "/tracks'"]))],
        condition=IfCondition(LaunchConfiguration("monitor")),
        output="screen",
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(SHARE / "rviz" / "a2vis.rviz")],
        remappings=[
            ("image", LaunchConfiguration("image")),
            ("overlay", PythonExpression(["'", LaunchConfiguration("name"), "/overlay'"])),
        ],
        parameters=[sim_time],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription([*arguments, profile, node, start, monitor, rviz])
