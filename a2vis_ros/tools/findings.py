"""Result of a check of the doctor; needs nothing but Python."""

from dataclasses import dataclass
from typing import Literal

from a2vis_model.errors import printable

Verdict = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Result of one check, and the remedy; as text, safe for a terminal: one line each."""

    verdict: Verdict
    about: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n          -> {printable(self.fix)}" if self.fix else ""
        return f"{self.verdict:>8}  {printable(self.about)}: {printable(self.text)}{fix}"
