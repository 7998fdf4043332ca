"""Where things are."""

from pathlib import Path

HELPERS = Path(__file__).resolve().parent
ROOT = HELPERS.parents[1]
SHARED = ROOT.parent / "shared"
"""Data that somebody has put beside the repository; tests that need it are skipped where it is not there."""
