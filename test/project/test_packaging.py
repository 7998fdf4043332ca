"""What the package says of itself, asks for and imports: versions, extras, private interfaces, the robot's recipe."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from paths import ROOT

import a2vis_model
from a2vis_model.compat import READ_IN
from a2vis_model.extras import EXTRAS, MissingPackageError, optional_packages, remedy
from a2vis_ros.programs import requirements as robot_requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()
SOURCES = sorted([*(ROOT / "a2vis_model").rglob("*.py"), *(ROOT / "a2vis_ros").rglob("*.py")])
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
"""Where a package is called otherwise on PyPI than in Python."""
# rclpy and the messages come with ROS; torch brings torchgen; what a backend needs is looked for when it is asked for.
BROUGHT_BY_OTHERS = {"rclpy", "launch", "launch_ros", "tensorrt", "torch_tensorrt"}


def requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by the canonical name of their package."""
    return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


CORE = requirements(PROJECT["project"]["dependencies"])
OPTIONAL = {extra: requirements(lines) for extra, lines in PROJECT["project"]["optional-dependencies"].items()}
OURS = canonicalize_name(PROJECT["project"]["name"])


def all_of(extra: str) -> dict[str, Requirement]:
    """The requirements of an extra and of the extras that it includes."""
    found = dict(OPTIONAL[extra])
    for included in found.pop(OURS).extras if OURS in found else ():
        found |= all_of(included)
    return found


def text_of(tag: str) -> str:
    return PACKAGE.findtext(tag) or ""


# --- Metadata ------------------------------------------------------------------------------------------


def test_all_files_name_one_version() -> None:
    version = a2vis_model.__version__
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "a2vis_model.__version__"}
    assert text_of("version") == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == version
    headings = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert version in headings


def test_all_files_name_one_maintainer_and_licence() -> None:
    maintainer = PACKAGE.find("maintainer")
    assert maintainer is not None
    expected = [{"name": maintainer.text, "email": maintainer.get("email")}]
    assert PROJECT["project"]["maintainers"] == PROJECT["project"]["authors"] == expected
    assert text_of("license") == PROJECT["project"]["license"] == "Apache-2.0"
    assert text_of("url") in PROJECT["project"]["urls"].values()


# --- What is asked for ---------------------------------------------------------------------------------


def test_inference_needs_no_more_than_seven_packages() -> None:
    assert set(CORE) == {"numpy", "torch", "opencv-python-headless", "pyyaml", "safetensors", "scipy", "tqdm"}
    # Private interfaces are used, so a newer PyTorch is admitted when it has been tried.
    assert READ_IN in CORE["torch"].specifier
    assert "2.15.0" not in CORE["torch"].specifier


def test_every_optional_package_has_the_extra_that_its_error_names() -> None:
    for module, extra in EXTRAS.items():
        name = canonicalize_name(DISTRIBUTIONS.get(module, module))
        if module != "supervision":  # which trackers brings
            assert name in all_of(extra), f"{module} is not in the extra {extra}"
        assert remedy(f"{module}.part") == f"pip install 'a2vis_ros[{extra}]'"
    assert remedy("numpy") is None


def test_the_tests_have_every_extra() -> None:
    # OpenVINO, NNCF and Ray are too large to install for the few tests that use them, which skip without them.
    for extra in set(OPTIONAL) - {"docs", "openvino", "ray", "test"}:
        assert set(all_of(extra)) <= set(all_of("test")), extra


def test_the_lock_file_names_a_version_of_all_that_is_required() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines() if not line.startswith("#")]
    versions = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for name, requirement in (CORE | all_of("test")).items():
        if requirement.marker is None or requirement.marker.evaluate():
            assert versions.get(name, "") in requirement.specifier, requirement


def test_a_robot_gets_every_package_from_rosdep_or_from_pip() -> None:
    """rosdep's keys that end in -pip are left out by the recipe, so the group must have them."""
    robot = requirements(PROJECT["dependency-groups"]["robot"])
    known = CORE | all_of("ros")
    assert {name: known[name].specifier for name in robot} == {name: found.specifier for name, found in robot.items()}
    keys = {element.text or "" for element in PACKAGE if element.tag.endswith("depend")}
    names = {"opencv-python-headless": "opencv", "pyyaml": "yaml", "pillow": "pil"}
    from_rosdep = {name for name in known if f"python3-{names.get(name, name)}" in keys}
    assert from_rosdep | set(robot) == set(known)
    by_pip = {"python3-pytorch-pip", "python3-rosbags-pip"}
    assert {key for key in keys if key.endswith("-pip")} == by_pip
    assert f'--skip-keys "{" ".join(sorted(by_pip))}"' in (ROOT / "Dockerfile").read_text("utf-8")


# --- What is imported ----------------------------------------------------------------------------------


def imports(tree: ast.AST, *, optional: bool = False) -> Iterator[tuple[str, bool]]:
    """Roots of the absolute imports below a node, and whether they stand in `with optional_packages()` or the like."""
    for node in ast.iter_child_nodes(tree):
        inside = optional
        if isinstance(node, ast.With) and "optional_packages" in ast.dump(node.items[0]):
            inside = True
        elif isinstance(node, ast.Try):
            inside = any("ImportError" in ast.dump(handler) for handler in node.handlers)
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0], inside
        else:
            yield from imports(node, optional=inside)


def test_what_is_imported_is_asked_for() -> None:
    keys = {element.text or "" for element in PACKAGE if element.tag.endswith("depend")}
    brought = sys.stdlib_module_names | {"a2vis_model", "a2vis_ros"} | BROUGHT_BY_OTHERS
    for file in SOURCES:
        for module, optional in imports(ast.parse(file.read_text("utf-8"))):
            if module in brought or module in keys or module in CORE or module == "vision_msgs":
                continue
            if optional:
                assert module in EXTRAS, f"{file}: {module}"
            else:
                name = canonicalize_name(DISTRIBUTIONS.get(module, module))
                assert name in CORE, f"{file}: {module} is imported outside `with optional_packages()`"


def test_optional_packages_of_ros_are_installed_by_rosdep_and_described() -> None:
    keys = {element.text for element in PACKAGE if element.tag == "exec_depend"}
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    packages = [how.split()[-1] for how, _ in robot_requirements.OPTIONAL.values() if "ROS 2's" in how]
    assert "foxglove_msgs" in packages
    for package in packages:
        assert package in keys
        assert package == "launch_ros" or f"ros-jazzy-{package.replace('_', '-')}`" in text


PRIVATE = re.compile(r"torch(?:\.\w+)*\._(?!_)\w+|rclpy\.impl|_MultiProcessing\w+|\._foreach\w+|_compute_track_ious")
"""Private interfaces of PyTorch, rclpy and TrackEval."""


def test_private_interfaces_are_used_in_compat_alone() -> None:
    found = {file for file in SOURCES if PRIVATE.search(_code(file))}
    # The name of a function in foreign pickles, which is compared and not called.
    found.discard(ROOT / "a2vis_model" / "importers" / "reading.py")
    assert {file.name for file in found} == {"compat.py"}
    assert {file.parent.name for file in found} == {"a2vis_model", "evaluation", "node"}


def _code(file: Path) -> str:
    """A module without its comments and texts."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


LOADED = "import sys; {code}; print(*sys.modules)"
HEAVY = {"PIL", "av", "matplotlib", "pycocotools", "scipy", "tensorboard", "trackeval", "trackers"}


def loaded(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after some code."""
    command = [sys.executable, "-c", LOADED.format(code=code)]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_costs_nothing() -> None:
    found = loaded("import a2vis_model")
    assert not found & (HEAVY | {"torch", "numpy", "cv2"})


ON_A_ROBOT: dict[str, set[str]] = {
    "from a2vis_model import build_model, freeze, load_config, load_weights, shipped_weights": set(),
    "from a2vis_model import *": set(),
    "import a2vis_model.profiling": set(),
    "import a2vis_ros.stream.pipeline, a2vis_ros.stream.loading, a2vis_ros.stream.worker": {"PIL"},
    # Images are turned as EXIF says.
    "import a2vis_ros.stream.image_decoding": {"PIL"},
}
"""What of the packages that are heavy may be loaded after some code."""
# Each in a copy of a Python that has imported PyTorch, which takes longer than all else.
LOADED_AFTER_TORCH = """
import os, sys, torch
for code in sys.argv[1:]:
    if not os.fork():
        exec(code)
        print(*sys.modules, flush=True)
        os._exit(0)
    if os.wait()[1]:
        sys.exit(1)
"""


def test_what_runs_on_a_robot_imports_no_more_than_it_needs() -> None:
    command = [sys.executable, "-c", LOADED_AFTER_TORCH, *ON_A_ROBOT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for (code, admitted), line in zip(ON_A_ROBOT.items(), done.stdout.splitlines(), strict=True):
        found = set(line.split())
        assert found & HEAVY <= admitted, code
        assert not any(name.startswith(("a2vis_model.render", "a2vis_model.training")) for name in found), code


def test_the_planner_imports_no_torch() -> None:
    found = loaded("import a2vis_ros.planner.mask_codec, a2vis_ros.planner.occlusion_memory")
    assert not found & (HEAVY | {"torch"})


def test_public_names_are_those_of_the_table() -> None:
    assert set(dir(a2vis_model)) >= set(a2vis_model.__all__)
    for name in a2vis_model.__all__:
        assert getattr(a2vis_model, name).__name__ == name
    tree = ast.parse(Path(str(a2vis_model.__file__)).read_text("utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    stated = {
        node.module: {alias.name for alias in node.names} for node in checked.body if isinstance(node, ast.ImportFrom)
    }
    assert {module: set(names) for module, names in a2vis_model._MODULES.items()} == stated
    with pytest.raises(AttributeError, match="no attribute 'StreamingTracer'"):
        _ = a2vis_model.StreamingTracer


# --- What is missing -----------------------------------------------------------------------------------

BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Missing())
from a2vis_model.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("av", "video", ["predict", "video.mp4", "--output", "out"]),
        ("trackeval", "eval", ["score", "--help"]),
        ("pycocotools", "video", ["render", "--output", "out", "--clips", "1"]),
        ("PIL", "video", ["train", "--help"]),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(package: str, extra: str, arguments: list[str]) -> None:
    code = BLOCKED.format(name=package, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    message = f"the Python package {package} is not installed: pip install 'a2vis_ros[{extra}]'"
    assert done.stderr == f"a2vis {arguments[0]}: {message}\n"
    assert done.returncode == 2


def test_errors_that_are_not_of_extras_are_left_alone() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as found, optional_packages():
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401
    assert not isinstance(found.value, MissingPackageError)
