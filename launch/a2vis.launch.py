"""One camera: the node and, on request, the occlusion monitor and RViz.

ros2 launch a2vis_ros a2vis.launch.py image:=/camera/image_raw
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

SHARE = Path(__file__).resolve().parent.parent
"""Folder of config and rviz, both installed and in a source tree."""
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables that name the profile of Fast DDS."""
NODE_PARAMETERS = ("transport", "policy", "weights", "device", "backend", "precision")
"""Arguments that are parameters of the node by the same name."""


def generate_launch_description() -> LaunchDescription:
    """Declare all arguments, and start the nodes once these have their values."""

    def argument(name: str, default: str, description: str, choices: list[str] | None = None) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    def parameter(name: str, description: str, choices: list[str] | None = None) -> DeclareLaunchArgument:
        """Declare an argument that is empty by default; any other default would override the parameter file."""
        text = f"{description}; left out, as params_file says"
        return argument(name, "", text, ["", *choices] if choices else None)

    both = ["true", "false"]
    return LaunchDescription(
        [
            argument("image", "image", "topic of the images; for compressed ones without its /compressed"),
            parameter("transport", "raw or compressed images", ["raw", "compressed"]),
            parameter("policy", "latest: bounded age; every_frame: nothing lost", ["latest", "every_frame"]),
            parameter("weights", "name of shipped weights (see `a2vis weights`), or path of a weight file"),
            parameter("device", "auto, cpu, cuda or cuda:N"),
            parameter("backend", "backend of the network", ["auto", "eager", "compile", "tensorrt"]),
            parameter("precision", "precision of the network; fp16 needs a GPU", ["fp32", "fp16"]),
            argument("namespace", "", "namespace of all nodes, one for each camera"),
            argument("name", "a2vis", "name of the node"),
            argument("params_file", str(SHARE / "config" / "a2vis.yaml"), "parameters of node and monitor"),
            argument("autostart", "true", "configure and activate at once; false for a lifecycle manager", both),
            argument("respawn", "false", "start the node again when it has ended, other than by Ctrl-C", both),
            argument("respawn_delay", "2.0", "seconds until it is started again"),
            parameter("use_sim_time", "take the time from /clock", both),
            argument("monitor", "false", "start the occlusion monitor too", both),
            parameter("region", "the monitor's region: [x, y, width, height] in pixels; all 0 for the whole image"),
            argument("rviz", "false", "start RViz too", both),
            argument("large_images", "true", "use the Fast DDS profile that lets large images through", both),
            argument("log_level", "info", "log level of the node", ["debug", "info", "warn", "error"]),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return node, monitor and RViz."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    def given(*names: str, kind: type = str) -> dict[str, ParameterValue]:
        return {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name in names if value(name)}

    said: list[LaunchDescriptionEntity] = []
    environment: dict[str, str] = {}
    own = [name for name in PROFILE_VARIABLES if context.environment.get(name)]
    if value("large_images") == "true" and own:
        said.append(LogInfo(msg=f"a2vis: {own[0]} is set and is left as it is, in place of large_images"))
    elif value("large_images") == "true":
        environment[PROFILE_VARIABLES[0]] = str(SHARE / "config" / "fastdds_large_image.xml")
    sim_time = given("use_sim_time", kind=bool)
    autostart = {"autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool)}
    node = LifecycleNode(
        package="a2vis_ros",
        executable="a2vis_node",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), sim_time | autostart | given(*NODE_PARAMETERS)],
        remappings=[("image", LaunchConfiguration("image"))],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        additional_env=environment,
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=float(value("respawn_delay")),
        output="screen",
    )
    monitor = Node(
        package="a2vis_ros",
        executable="occlusion_monitor",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), sim_time | given("region", kind=list[int])],
        remappings=[("a2vis/tracks", [LaunchConfiguration("name"), "/tracks"])],
        additional_env=environment,
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=float(value("respawn_delay")),
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
            ("overlay", [LaunchConfiguration("name"), "/overlay"]),
        ],
        parameters=[sim_time],
        additional_env=environment,
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [*said, node, monitor, rviz]
