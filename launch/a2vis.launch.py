"""The node, and if asked for the object localizer, the occlusion monitor and RViz, for one camera or several.

ros2 launch a2vis_ros a2vis.launch.py image:=/camera/image_raw
ros2 launch a2vis_ros a2vis.launch.py cameras:="left right" images:="/left/image_raw /right/image_raw"
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from a2vis_model.backend_names import BACKENDS, PRECISIONS
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

SHARE = Path(__file__).resolve().parent.parent
"""Folder of config and rviz, both installed and in a source tree."""
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables that name the profile of Fast DDS."""
NODE_PARAMETERS = ("cameras", "images", "transport", "policy", "weights", "device", "backend", "precision")
"""Arguments that are parameters of the node by the same name."""
LOCALIZER_PARAMETERS = ("depth", "fixed_frame")
"""Arguments that are parameters of the localizer by the same name."""


def generate_launch_description() -> LaunchDescription:
    """Declare all arguments, and start the nodes once these have their values."""

    def argument(
        name: str, default: str, description: str, choices: Sequence[str] | None = None
    ) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    def parameter(name: str, description: str, choices: Sequence[str] | None = None) -> DeclareLaunchArgument:
        """Declare an argument that is empty by default; any other default would override the parameter file."""
        text = f"{description}; left out, as params_file says"
        return argument(name, "", text, ["", *choices] if choices else None)

    both = ["true", "false"]
    return LaunchDescription(
        [
            argument("image", "image", "topic of the images; for compressed ones without its /compressed"),
            parameter("cameras", "names of cameras that share the model, such as 'left right', a namespace each"),
            parameter("images", "their topics of images in the same order; relative ones in a camera's namespace"),
            parameter("transport", "raw or compressed images", ["raw", "compressed"]),
            parameter("policy", "latest: bounded age; every_frame: nothing lost", ["latest", "every_frame"]),
            parameter("weights", "name of shipped weights (see `a2vis weights`), or path of a weight file"),
            parameter("device", "auto, cpu, cuda, cuda:N, intel:gpu or intel:npu"),
            parameter("backend", "backend of the network", BACKENDS),
            parameter("precision", "of the network; fp16 needs a GPU, bf16 and int8 openvino", PRECISIONS),
            argument("namespace", "", "namespace of all nodes, one for each camera"),
            argument("name", "a2vis", "name of the node"),
            argument("params_file", str(SHARE / "config" / "a2vis.yaml"), "parameters of node and monitor"),
            argument("autostart", "true", "configure and activate at once; false for a lifecycle manager", both),
            argument("respawn", "false", "start the node again when it has ended, other than by Ctrl-C", both),
            argument("respawn_delay", "2.0", "seconds until it is started again"),
            parameter("use_sim_time", "take the time from /clock", both),
            argument("monitor", "false", "start the occlusion monitor too", both),
            parameter("region", "the monitor's region: [x, y, width, height] in pixels; all 0 for the whole image"),
            argument("localize", "false", "start the object localizer too: objects in space", both),
            argument("localizer_params_file", str(SHARE / "config" / "object_localizer.yaml"), "its parameters"),
            argument("camera_info", "camera_info", "topic of the image's camera_info; with cameras a relative one"),
            parameter("depth", "none, raw or compressed depth images", ["none", "raw", "compressed"]),
            argument("depth_topic", "depth", "topic of the registered depth, as camera_info, without /compressedDepth"),
            parameter("fixed_frame", "frame in which objects are placed, such as odom"),
            argument("rviz", "false", "start RViz too", both),
            argument("large_images", "true", "use the Fast DDS profile that lets large images through", both),
            argument("log_level", "info", "log level of the node", ["debug", "info", "warn", "error"]),
            OpaqueFunction(function=_nodes),
        ]
    )


def _value(context: LaunchContext, name: str) -> str:
    """The value of an argument."""
    return LaunchConfiguration(name).perform(context)


def _given(context: LaunchContext, *names: str, kind: type = str) -> dict[str, ParameterValue]:
    """Those of the arguments that are not empty, as parameters of the same names."""
    return {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name in names if _value(context, name)}


def _shared(context: LaunchContext) -> tuple[dict[str, ParameterValue], dict[str, ParameterValue]]:
    """Parameters of several nodes: use_sim_time, where it is given, and autostart."""
    autostart = ParameterValue(LaunchConfiguration("autostart"), value_type=bool)
    return _given(context, "use_sim_time", kind=bool), {"autostart": autostart}


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Node, localizer, monitor and RViz."""
    value = partial(_value, context)
    said: list[LaunchDescriptionEntity] = []
    environment: dict[str, str] = {}
    own = [name for name in PROFILE_VARIABLES if context.environment.get(name)]
    if value("large_images") == "true" and own:
        said.append(LogInfo(msg=f"a2vis: {own[0]} is set and is left as it is, in place of large_images"))
    elif value("large_images") == "true":
        environment[PROFILE_VARIABLES[0]] = str(SHARE / "config" / "fastdds_large_image.xml")
    sim_time, autostart = _shared(context)
    node = LifecycleNode(
        package="a2vis_ros",
        executable="a2vis_node",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), sim_time | autostart | _given(context, *NODE_PARAMETERS)],
        remappings=[("image", LaunchConfiguration("image"))],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        additional_env=environment,
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=float(value("respawn_delay")),
        output="screen",
    )
    cameras, images = value("cameras").split(), value("images").split()
    if not cameras:
        return [*said, node, *_beside(context, value("namespace"), value("image"), environment)]
    if value("image") != "image":
        raise ValueError(f"image:={value('image')} is the topic of one camera; with cameras give images")
    for name in ("camera_info", "depth_topic"):
        if value(name).startswith("/"):
            raise ValueError(f"{name}:={value(name)} is one topic for all cameras; give a name in their namespaces")
    beside = []
    for index, camera in enumerate(cameras):
        image = images[index] if index < len(images) else "image"
        namespace = "/".join(filter(None, (value("namespace").rstrip("/"), camera)))
        beside += _beside(context, namespace, image, environment)
    return [*said, node, *beside]


def _beside(
    context: LaunchContext, namespace: str, image: str, environment: dict[str, str]
) -> list[LaunchDescriptionEntity]:
    """Localizer, monitor and RViz of one camera, in the namespace of what the node says of it.

    Args:
        context: with the arguments' values.
        namespace: of the camera's topics.
        image: topic of its images, absolute or in the namespace.
        environment: variables of the programs.
    """
    value = partial(_value, context)
    sim_time, autostart = _shared(context)
    localizer = LifecycleNode(
        package="a2vis_ros",
        executable="object_localizer",
        name="object_localizer",
        namespace=namespace,
        parameters=[
            LaunchConfiguration("localizer_params_file"),
            sim_time | autostart | _given(context, *LOCALIZER_PARAMETERS),
        ],
        remappings=[
            ("a2vis/tracks", [LaunchConfiguration("name"), "/tracks"]),
            ("a2vis/class_names", [LaunchConfiguration("name"), "/class_names"]),
            ("camera_info", LaunchConfiguration("camera_info")),
            ("depth", LaunchConfiguration("depth_topic")),
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        additional_env=environment,
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=float(value("respawn_delay")),
        condition=IfCondition(LaunchConfiguration("localize")),
        output="screen",
    )
    monitor = Node(
        package="a2vis_ros",
        executable="occlusion_monitor",
        namespace=namespace,
        parameters=[LaunchConfiguration("params_file"), sim_time | _given(context, "region", kind=list[int])],
        remappings=[("a2vis/tracks", [LaunchConfiguration("name"), "/tracks"])],
        additional_env=environment,
        respawn=LaunchConfiguration("respawn"),
        respawn_delay=float(value("respawn_delay")),
        condition=IfCondition(LaunchConfiguration("monitor")),
        output="screen",
    )
    localize, frame = value("localize") == "true", value("fixed_frame")
    view = "a2vis_space.rviz" if localize else "a2vis.rviz"
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        # In another frame than that of the objects RViz shows none of them.
        arguments=["-d", str(SHARE / "rviz" / view), *(["-f", frame] if localize and frame else [])],
        remappings=[
            ("image", image),
            ("overlay", [LaunchConfiguration("name"), "/overlay"]),
        ],
        parameters=[sim_time],
        additional_env=environment,
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [localizer, monitor, rviz]
