"""Hooks of MkDocs: the site holds the pages of the repository's root too, and links out of docs/ lead somewhere.

mkdocs.yml names this file. Pages are written for the repository's own viewer; here their links are made those of the
site. A linked file that is no page, such as a YAML file, becomes a file of the site.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Files of the repository's root that are pages of the site, and their names there."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")
"""The target of a Markdown link to a file, without its anchor."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages and files of the site."""
    folder = Path(str(page.file.abs_src_path)).parent

    def to_site(link: re.Match[str]) -> str:
        target = (folder / link.group(1)).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            return link.group(1)  # MkDocs names it as broken
        name = target.relative_to(ROOT).as_posix()
        if target.is_relative_to(DOCS):
            uri = target.relative_to(DOCS).as_posix()
        elif name in PAGES:
            uri = PAGES[name]
        else:
            uri = f"files/{name}"
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(target)))
        return os.path.relpath(uri, os.path.dirname(page.file.src_uri) or ".")

    return LINK.sub(to_site, markdown)
