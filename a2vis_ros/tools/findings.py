"""Result of a check of the doctor; needs nothing but Python."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Result of one check, and the remedy."""

    verdict: Verdict
    about: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n          -> {self.fix}" if self.fix else ""
        return f"{self.verdict:>8}  {self.about}: {self.text}{fix}"
