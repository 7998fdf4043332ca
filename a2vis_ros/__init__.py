"""The ROS 2 side of A2VIS: messages, the lifecycle node, bag tools and a planner-side monitor.

Logic lives in packages that import no ROS (`stream`, and `planner` for the most part); `node` wires them. The messages
are in `a2vis_ros.msg`, which the build generates. Planners need `planner.mask_messages` and `a2vis_ros.msg` only,
neither of which imports torch.
"""

from pkgutil import extend_path

# In a source tree the generated messages are in another folder, that of the environment they were built into.
__path__ = extend_path(__path__, __name__)
