"""Which room may import which: the stream knows no ROS, the planner no torch, and no room leads back into itself."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from paths import ROOT

import a2vis_model

PACKAGES = ("a2vis_model", "a2vis_ros")
ROS = {"rclpy", "rosbags", "rosbag2_py", "launch", "launch_ros", "ament_index_python", "tf2_ros"}
"""Beside every package of messages, which end in _msgs or _srvs or _interfaces."""


def _file(module: str) -> Path | None:
    """The file of a module of ours; None for what is no module."""
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = sorted(_name(file) for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def _nodes(tree: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    """The nodes of a module that are run when it is imported, or all; what only type checkers read is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not everywhere and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from _nodes(node, everywhere=everywhere)


@cache
def imports(module: str, *, everywhere: bool) -> frozenset[str]:
    """What a module of ours imports: modules of ours, and others by their first name."""
    file = _file(module)
    assert file is not None
    found = set()
    for node in _nodes(ast.parse(file.read_text("utf-8")), everywhere=everywhere):
        if isinstance(node, ast.Import):
            found |= {_resolved(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            found |= {_resolved(f"{source}.{alias.name}") for alias in node.names}
    return frozenset(found - {module})


def _resolved(name: str) -> str:
    """The module that a name is in."""
    package, _, member = name.partition(".")
    if package not in PACKAGES:
        return package
    if name.startswith("a2vis_ros.msg"):
        return "a2vis_ros.msg"
    if package == "a2vis_model" and member in a2vis_model._HOME:
        return f"a2vis_model.{a2vis_model._HOME[member]}"
    while _file(name) is None:
        name = name.rpartition(".")[0]
    return name


def reached(start: str) -> dict[str, tuple[str, ...]]:
    """Everything that is imported with a module, and the way to it."""
    ways: dict[str, tuple[str, ...]] = {}
    waiting = [(start, ())]
    while waiting:
        module, way = waiting.pop()
        if module in ways:
            continue
        ways[module] = (*way, module)
        if module.split(".")[0] in PACKAGES and module != "a2vis_ros.msg":
            parts = module.split(".")
            parents = {".".join(parts[:count]) for count in range(1, len(parts))}
            waiting += [(other, ways[module]) for other in parents | imports(module, everywhere=False)]
    return ways


def in_room(room: str) -> list[str]:
    """The modules of a room."""
    found = [module for module in MODULES if module == room or module.startswith(f"{room}.")]
    assert len(found) > 3, f"{room} is gone"
    return found


def is_ros(module: str) -> bool:
    """Whether a module is there with ROS alone."""
    return module in ROS or module == "a2vis_ros.msg" or module.endswith(("_msgs", "_srvs", "_interfaces"))


@pytest.mark.parametrize("module", in_room("a2vis_ros.stream"))
def test_the_stream_knows_no_ros(module: str) -> None:
    ways = {end: way for end, way in reached(module).items() if is_ros(end) or end.startswith("a2vis_ros.node")}
    assert not ways, " -> ".join(next(iter(ways.values())))
    inside = {name for name in imports(module, everywhere=True) if is_ros(name)}
    assert not inside, f"{module} imports {inside}"


@pytest.mark.parametrize("module", [*in_room("a2vis_ros.planner"), *in_room("a2vis_ros.node"), "a2vis_ros.bags.to_bag"])
def test_planners_nodes_and_to_bag_know_no_torch(module: str) -> None:
    """Where a node has a model that PyTorch runs, `main` brings it along."""
    way = reached(module).get("torch")
    assert way is None, " -> ".join(way or ())


def test_the_model_knows_no_ros() -> None:
    for module in in_room("a2vis_model"):
        found = {name for name in imports(module, everywhere=True) if is_ros(name) or name.startswith("a2vis_ros")}
        assert not found, f"{module} imports {found}"


def room(module: str) -> str:
    """The room of a module: a folder of a package, or a file that stands beside the folders."""
    return ".".join(module.split(".")[:2])


def test_rooms_have_no_circle() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        for other in imports(module, everywhere=True):
            if other.startswith(tuple(f"{package}." for package in PACKAGES)) and room(other) != room(module):
                arrows[room(module)].add(room(other))
    assert len(arrows) > 20
    above: list[str] = []
    left: set[str] = set()

    def visit(name: str) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name in left:
            return
        above.append(name)
        for other in sorted(arrows[name]):
            visit(other)
        above.pop()
        left.add(name)

    for name in list(arrows):
        visit(name)


def test_the_contract_finds_what_it_forbids() -> None:
    ways = reached("a2vis_ros.node.outputs")
    assert ways["rclpy"][0] == "a2vis_ros.node.outputs"
    assert "a2vis_ros.msg" in ways
    assert "torch" in reached("a2vis_model.tracking.streaming")
    assert "torch" not in reached("a2vis_model.masks.box_runs")
