"""Entry point of installed programs: names a missing Python package instead of printing a traceback.

A build by colcon installs the programs, but not torch and a few other packages. This module needs nothing but Python.
"""

import importlib
import sys

from .collecting import uncollected
from .requirements import remedy


def run(program: str, module: str) -> int:
    """Run the `main()` of a module, such as "a2vis_ros.node.a2vis_node"; return the exit status."""
    try:
        with uncollected():
            main = importlib.import_module(module).main
        return int(main())
    except ImportError as error:
        name = error.name or ""
        if name.startswith(("a2vis_ros", "a2vis_model")) and name != "a2vis_ros.msg":
            raise
        what = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({error})"
        print(f"{program}: the Python package {name or 'that it needs'} {what}: {remedy(name)}", file=sys.stderr)
        print(f"{program}: `ros2 run a2vis_ros doctor` says what else is missing", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # The interrupt came while the module was loading.
        return 130
