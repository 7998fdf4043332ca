"""Report of an import."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import printable


@dataclass(kw_only=True)
class ImportReport:
    """What became of a weight file's tensors and of a network's.

    Attributes:
        path: path of the file.
        format: name of its format.
        notes: wrappers that were removed and choices that were made before names were matched, and why.
        loaded: our names that took their tensor unchanged.
        adapted: our names that took a changed tensor, and how it was changed.
        skipped: foreign names that were not used, and why.
        missing: our names without a counterpart; their tensors are unchanged.
    """

    path: Path
    format: str
    notes: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    adapted: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Summarise the import in a few lines: counts, and names grouped where there are many.

        The lines are safe for a log, whatever the names in the file.
        """
        lines = [f"{self.path}: {self.format}", *(f"  {note}" for note in self.notes), f"  loaded {len(self.loaded)}"]
        for title, entries in (("adapted", self.adapted), ("skipped", self.skipped)):
            names_by_note = defaultdict(list)
            for name, note in entries:
                names_by_note[note].append(name)
            for note, names in names_by_note.items():
                lines.append(f"  {title} {len(names)}: {note} ({_some(names)})")
        missing_by_part = defaultdict(list)
        for name in self.missing:
            missing_by_part[".".join(name.split(".")[:2])].append(name)
        for part, names in missing_by_part.items():
            lines.append(f"  missing {len(names)}: {part}")
        return "\n".join(map(printable, lines))


def _some(names: list[str]) -> str:
    return ", ".join(names[:2]) + (", …" if len(names) > 2 else "")
