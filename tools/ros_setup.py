"""Make ROS 2 out of PyPI wheels in a virtual environment, and build this package's messages into it.

    .venv/bin/python tools/ros_setup.py                    # Jazzy
    .venv/bin/python tools/ros_setup.py --distro kilted

Works on the environment of the Python that runs it, may be run again at any time and then does only what is missing.
Where a ROS 2 is sourced its packages are used, and the messages alone are built; source local_setup.sh of the
environment after it. Where there is neither, --if-possible says so and is content.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path(sys.prefix)
STAMP = PREFIX / "a2vis_ros.json"
SOURCED = bool(os.environ.get("AMENT_PREFIX_PATH"))

# The ament_* wheels do not name all of their own dependencies, so all that the build needs is listed.
ROS_PACKAGES = (
    "rclpy",
    "common-interfaces",
    "rmw-fastrtps-cpp",
    "rosidl-default-generators",
    "rosidl-core-generators",
    "ament-cmake",
    "ament-cmake-python",
    "ament-cmake-ros",
    "ament-cmake-include-directories",
    "ament-cmake-gen-version-h",
    "ament-cmake-export-interfaces",
    "ament-cmake-gtest",
    "ament-cmake-gmock",
    "ament-cmake-pytest",
    "gtest-vendor",
    "gmock-vendor",
    "ament-lint",
    "ament-package",
)
DISTROS = {"jazzy": ("python-cmake-module",), "kilted": ("ament-cmake-ros-core",)}
"""Releases of ROS 2 of which there are wheels, and the packages that one alone needs."""
BUILD_WHEELS = ("colcon-common-extensions", "cmake", "empy<4")
TOOLS = ("rosbags>=0.10",)
# A virtual environment does not see those that came with a sourced ROS 2.
BUILD_TOOLS = ("colcon-common-extensions", "empy<4", "lark", "catkin_pkg", "packaging")

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
OLDEST_GLIBC = (2, 28)


def main() -> int:
    """Install, repair and build what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--distro", choices=list(DISTROS), default="jazzy", help="release of the wheels (%(default)s)")
    parser.add_argument("--force", action="store_true", help="do everything, whether it was done before or not")
    parser.add_argument("--if-possible", action="store_true", help="succeed where ROS 2 cannot be had")
    args = parser.parse_args()
    if sys.prefix == sys.base_prefix:
        print("ros_setup: run it with the Python of a virtual environment, e.g. .venv/bin/python", file=sys.stderr)
        return 2
    obstacle = "" if SOURCED else wheel_obstacle()
    if obstacle:
        print(f"ros_setup: no ROS 2 is sourced, and there are no wheels of it for this machine: {obstacle}")
        print("ros_setup: install ROS 2 and source it; without, what needs ROS is left out")
        return 0 if args.if_possible else 2
    done = json.loads(STAMP.read_text(encoding="utf-8")) if STAMP.is_file() and not args.force else {}
    wheels = _wheels(args.distro)
    steps = {
        "wheels": (_digest(wheels), partial(install_wheels, wheels)),
        "messages": (_sources(), build_messages),
    }
    for name, (digest, step) in steps.items():
        if done.get(name) == digest:
            continue
        step()
        done[name] = digest
        # After a new set of wheels the messages are built against them again.
        if name == "wheels":
            done.pop("messages", None)
        STAMP.write_text(json.dumps(done), encoding="utf-8")
    return 0


def wheel_obstacle() -> str:
    """Why the ROS wheels on PyPI are not for this machine; empty where they are."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"they are for Linux on x86_64, this is {platform.system()} on {platform.machine()}"
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return f"they are for CPython 3.10 to 3.14, this is {platform.python_version()}"
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < OLDEST_GLIBC:
        return f"they are for glibc 2.28 and later, this is {name or 'another libc'} {version}"
    return ""


def install_wheels(wheels: tuple[str, ...]) -> None:
    """Install the wheels and mend what they have brought from the machine that built them."""
    print(f"installing {len(wheels)} packages from PyPI", flush=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wheels], check=True)
    print(f"repaired {repair_exports(PREFIX / 'share')} exported CMake files", flush=True)


def repair_exports(share: Path) -> int:
    """Point exported CMake files at this interpreter's headers; the wheels name those of their build machine.

    Returns:
        how many files were changed.
    """
    found = importlib.util.find_spec("numpy")
    if found is None or found.origin is None:
        raise SystemExit("ros_setup: numpy is missing; install this project first, with pip install -e .")
    numpy_include = Path(found.origin).parent / "_core" / "include"
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    build_host = f"/opt/python/cp{version}-cp{version}"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    replacements = {
        f"{build_host}/lib/{python}/site-packages/numpy/_core/include": str(numpy_include),
        f"{build_host}/include/{python}": sysconfig.get_paths()["include"],
    }
    changed = 0
    for file in share.rglob("*.cmake"):
        before = after = file.read_text(encoding="utf-8", errors="surrogateescape")
        for old, new in replacements.items():
            after = after.replace(old, new)
        if after != before:
            file.write_text(after, encoding="utf-8", errors="surrogateescape")
            changed += 1
    return changed


def build_messages() -> None:
    """Build the messages with colcon into the environment, and put this tree's modules beside them."""
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        raise SystemExit("ros_setup: a C++ compiler is missing; on Debian and Ubuntu: apt install g++")
    print("building the messages with colcon", flush=True)
    # Inside the environment: what CMake has found belongs to it, and another environment has its own.
    build = PREFIX / "build" / "a2vis_ros"
    command = [
        str(PREFIX / "bin" / "colcon"),
        "--log-base",
        str(build / "log"),
        "build",
        "--base-paths",
        str(ROOT),
        "--packages-select",
        "a2vis_ros",
        "--build-base",
        str(build),
        "--install-base",
        str(PREFIX),
        "--merge-install",
        "--cmake-args",
        "-DA2VIS_MESSAGES_ONLY=ON",
        "-DBUILD_TESTING=OFF",
        f"-DPython3_EXECUTABLE={sys.executable}",
    ]
    environment = dict(os.environ)
    if not SOURCED:
        environment |= {
            "CMAKE_PREFIX_PATH": str(PREFIX),
            "AMENT_PREFIX_PATH": str(PREFIX),
            "PATH": f"{PREFIX / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    # The name sorts behind all packages: only what is found nowhere else is taken from the tree.
    Path(sysconfig.get_paths()["purelib"], "zz_a2vis_ros_tree.pth").write_text(f"{ROOT}\n", encoding="utf-8")


def _wheels(distro: str) -> tuple[str, ...]:
    if SOURCED:
        return (*BUILD_TOOLS, *TOOLS)
    packages = (*ROS_PACKAGES, *DISTROS[distro])
    return (*(f"ros-{distro}-{package}" for package in packages), *BUILD_WHEELS, *TOOLS)


def _sources() -> str:
    """Changes with what the messages are built from."""
    files = [ROOT / "CMakeLists.txt", ROOT / "package.xml", ROOT / "a2vis_ros" / "__init__.py"]
    files += sorted([*(ROOT / "msg").glob("*.msg"), *(ROOT / "include").rglob("*.hpp")])
    return _digest([f"{file.name}\n{file.read_text(encoding='utf-8')}" for file in files])


def _digest(parts: tuple[str, ...] | list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
