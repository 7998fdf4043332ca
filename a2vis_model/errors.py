"""Errors of the package. Each message names the parameter or file, the value and the remedy."""


class A2VISError(ValueError):
    """Something the user gave cannot be used."""


class ConfigError(A2VISError):
    """A preset, variant or configuration value is unusable."""


class CheckpointError(A2VISError):
    """A weight file is missing, broken, foreign or does not fit."""


class VideoError(A2VISError):
    """A video, image or folder of frames cannot be read."""


class BackendError(A2VISError):
    """A backend or precision cannot be had here, or an engine is refused."""
