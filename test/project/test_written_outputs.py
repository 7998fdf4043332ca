"""Every output goes through the writer of whole files: nothing is opened to write by its own name.

What a writer that is not ours (rosbags, TensorBoard) makes is not seen here.
"""

import ast
from collections.abc import Iterator

import pytest
from paths import ROOT

OTHERWISE = {
    "a2vis_model/files/videos.py": "the one place that opens videos; who writes one gives a name of the writer's",
    "a2vis_model/render/fishbowl_writer.py": "into a new folder, which is renamed when it is complete",
    "a2vis_model/data/space_truth.py": "into that folder",
    "a2vis_model/backends/engine_cache.py": "into a new folder of the user alone, which is renamed when it is complete",
    "a2vis_model/backends/tensorrt.py": "into that folder",
    "a2vis_model/backends/openvino.py": "into that folder",
    "a2vis_model/evaluation/runner.py": "three files at once, by names that the writer gives",
    "a2vis_ros/bags/bag_files.py": "the file of a killed recorder is ended in its place; a link there is refused",
    "a2vis_ros/tools/demo.py": "a log, which grows: a new file",
}
"""Modules that write by themselves, and why they may; in all others a new file of the writer is called `temporary`."""
WRITERS = {"write_text", "write_bytes", "imwrite", "savefig", "save_file", "save", "tofile"}
"""Methods and functions of other packages that write to a name that they are given."""
GIVEN = {"temporary", "replacing"}
"""Names by which a new file of the writer is called."""


def bare_writes(source: str) -> Iterator[int]:
    """Yield the lines in which a file is opened to write, or written, by another name than the writer has given."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or _names(node) & GIVEN:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        method = isinstance(node.func, ast.Attribute)
        modes = [arg.value for arg in (*node.args, *(word.value for word in node.keywords)) if _is_mode(arg)]
        opened = called == "open" and (any(set("wax+") & set(mode) for mode in modes) or "O_CREAT" in _names(node))
        # A method of ours, such as a checkpoint's, is given nothing but a path; torch.save is given a content too.
        written = (
            method and called in WRITERS and (called != "save" or len(node.args) > 1) and "file" not in _names(node)
        )
        if opened or written:
            yield node.lineno


def _is_mode(argument: ast.expr) -> bool:
    text = getattr(argument, "value", None)
    return isinstance(argument, ast.Constant) and isinstance(text, str) and set(text) <= set("rwaxbt+")


def _names(call: ast.Call) -> set[str]:
    nodes = list(ast.walk(call))
    return {n.id for n in nodes if isinstance(n, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}


def test_nothing_is_written_past_the_writer_of_whole_files() -> None:
    found = {}
    for package in ("a2vis_model", "a2vis_ros"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if lines := list(bare_writes(file.read_text("utf-8"))):
                found[file.relative_to(ROOT).as_posix()] = lines
    assert found.keys() == OTHERWISE.keys(), {name: found.get(name) for name in found.keys() ^ OTHERWISE.keys()}


@pytest.mark.parametrize(
    "line",
    [
        "Path(args.json).write_text(text)",
        "path.write_bytes(b'')",
        "open(path, 'w')",
        "path.open('wb')",
        "path.open(mode='a')",
        "open(path, 'rb+')",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "cv2.imwrite(str(path), image)",
        "torch.save(content, path)",
        "figure.savefig(path)",
    ],
)
def test_a_write_is_seen(line: str) -> None:
    assert list(bare_writes(line)) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "write_text(path, text)",
        "open(path)",
        "path.open('rb')",
        "temporary.write_text(text)",
        "replacing(path).open('w')",
        "torch.save(content, temporary)",
        "checkpoint.save(path)",
        "os.open(path, os.O_RDONLY)",
        "entries.open('path')",
    ],
)
def test_what_is_no_write_is_left_alone(line: str) -> None:
    assert not list(bare_writes(line))
