"""The documentation says what the code does: commands, parameters, the robot's recipe, pages, links."""

import importlib
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from paths import ROOT

from a2vis_model.cli import COMMANDS
from a2vis_ros.stream.parameters import PARAMETERS, Parameter

DOCS = ROOT / "docs"
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = [*ROOT_PAGES, *sorted(DOCS.rglob("*.md"))]


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, *languages: str) -> Iterator[str]:
    """The code blocks of a page in these languages."""
    yield from (code for language, code in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if language in languages)


# --- The robot's recipe --------------------------------------------------------------------------------


def test_the_dockerfile_runs_the_recipe_of_the_installation() -> None:
    page = text_of("docs/install.md")
    (recipe,) = [block for block in blocks(page, "console") if "colcon build" in block]
    lines = [line.replace("sudo ", "") for line in recipe.splitlines()]
    assert lines.pop(0) == "cd ~/ws"
    dockerfile = text_of("Dockerfile")
    assert "WORKDIR /root/ws" in dockerfile
    match = re.search(r"# install\.md: begin\n(.*)\n# install\.md: end", dockerfile, re.DOTALL)
    assert match is not None
    assert match.group(1).splitlines() == lines


def test_continuous_integration_runs_the_recipe_and_the_tests() -> None:
    jobs = yaml.safe_load(text_of(".github/workflows/ci.yml"))["jobs"]
    steps = {name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert "docker build --tag a2vis:ci ." in steps["robot"]
    assert "colcon test --packages-select a2vis_ros" in steps["robot"]
    assert jobs["wheels"]["strategy"]["matrix"]["distro"] == ["jazzy", "kilted"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.10", "3.12"]
    assert {"make lint", "make docs"} <= {*steps["lint"].splitlines(), *steps["docs"].splitlines()}
    for target in re.findall(r"^make (\w+)", "\n".join(steps.values()), re.MULTILINE):
        assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE), target


def test_hooks_have_the_versions_of_the_lock_file() -> None:
    locked = text_of("requirements.lock").lower().splitlines()
    hooks = yaml.safe_load(text_of(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    for requirement in (found for hook in hooks for found in hook.get("additional_dependencies", ())):
        assert requirement in locked, requirement


# --- Commands ------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """What the console blocks of a page have people type, a list of words each."""
    for block in blocks(text, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and not line.startswith(" "):
                yield words


def options_of(command: str) -> set[str]:
    parser = ArgumentParser()
    importlib.import_module(f"a2vis_model.commands.{COMMANDS[command][0]}").add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def test_commands_in_the_documentation_have_the_options_they_show() -> None:
    shown: dict[str, set[str]] = {}
    for page in PAGES:
        for words in commands(page.read_text("utf-8")):
            if words[0] == "a2vis":
                assert words[1] in COMMANDS, f"{page}: {words}"
                named = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
                shown[words[1]] = shown.get(words[1], set()) | named
    assert set(shown) == set(COMMANDS), "each command is shown somewhere"
    for command, options in shown.items():
        assert options <= options_of(command), command


def test_modules_in_the_documentation_are_there() -> None:
    for page in PAGES:
        for words in commands(page.read_text("utf-8")):
            for before, module in zip(words, words[1:], strict=False):
                if before == "-m" and module.startswith("a2vis"):
                    assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), f"{page}: {module}"
            for word in words:
                if re.fullmatch(r"(?:benchmark|tools|test)/\S+\.py", word):
                    assert (ROOT / word).is_file(), f"{page}: {word}"


# --- Reference -----------------------------------------------------------------------------------------


def row(parameter: Parameter) -> str:
    """A parameter's line in docs/ros_reference.md."""
    default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
    values = ", ".join(f"`{choice}`" for choice in parameter.choices)
    if parameter.lowest is not None and parameter.highest is not None:
        values = f"{parameter.lowest:g} to {parameter.highest:g}"
    shown = '""' if default == "" else default
    live = "yes" if parameter.dynamic else ""
    return f"| `{parameter.name}` | `{shown}` | {values} | {live} | {parameter.description} |"


def test_the_reference_holds_every_parameter() -> None:
    section = text_of("docs/ros_reference.md").partition("| parameter | default | values | live |")[2]
    lines = section.partition("\n\n")[0].splitlines()[2:]
    assert lines == [row(parameter) for parameter in PARAMETERS]


# --- Pages and links -----------------------------------------------------------------------------------


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"(?m)^#+ (.+)$", plain)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in slugs(file.read_text("utf-8")), target


def test_every_page_is_in_the_site() -> None:
    site = yaml.safe_load(text_of("mkdocs.yml"))

    def named(entries: list[dict[str, object]]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                yield from named(value) if isinstance(value, list) else [str(value)]

    hooks = text_of("tools/site_hooks.py")
    made = set(re.findall(r'"(\w+\.md)",?$', hooks, re.MULTILINE))
    written = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")}
    assert sorted(named(site["nav"])) == sorted(made | written)


def test_the_moving_picture_is_small_enough_to_load() -> None:
    (picture,) = re.findall(r"docs/images/\S+\.(?:gif|webp)", text_of("README.md"))
    assert (ROOT / picture).stat().st_size < 2_000_000
