"""One row of a node's table of parameters: name, default, range and meaning. Needs nothing but Python itself."""

from dataclasses import dataclass
from typing import Any


class ParameterError(ValueError):
    """A parameter's value cannot be used. The message names parameter, value and remedy."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node. The node's file in `config` holds every one of them with its default."""

    name: str
    default: bool | int | float | str
    description: str
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False
    """May be changed while the node is active; the others are read when it is configured."""

    def check(self, value: Any) -> None:
        """Raises ParameterError for a value out of range."""
        # A whole number will do for a fraction, but True is not 1.
        number = isinstance(self.default, float) and isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not type(self.default) and not number:
            kind = type(self.default).__name__
            raise ParameterError(f"{self.name}={value!r} is a {type(value).__name__}; give a {kind}")
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name}={value!r} is none of {', '.join(self.choices)}")
        # Written so that NaN fails too.
        if self.lowest is not None and self.highest is not None and not self.lowest <= value <= self.highest:
            raise ParameterError(f"{self.name}={value!r} is not between {self.lowest:g} and {self.highest:g}")
