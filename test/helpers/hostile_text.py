"""A text that would pass for lines of the log and steer a terminal, and what is safe to print."""

HOSTILE = "x\n[ERROR] all is lost\x1b[2J\x9b31m\r\u202e\udcff"


def is_harmless(text: str) -> bool:
    return text.isprintable() and len(text) < 2100
