"""Recorded bags: reading, writing, playing, scoring, and the programs for it."""
