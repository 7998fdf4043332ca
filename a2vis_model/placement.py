"""Position of a camera image in the network's input."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Position of an image in the network's input: scaled with its aspect kept, at the top left.

    The rest is padding.
    """

    image_height: int
    image_width: int
    scaled_height: int
    scaled_width: int

    @classmethod
    def fit(cls, *, image_height: int, image_width: int, input_height: int, input_width: int) -> "Placement":
        """Scale an image (pixels) to the largest size that fits the input (pixels)."""
        scale = min(input_height / image_height, input_width / image_width)
        return cls(
            image_height=image_height,
            image_width=image_width,
            scaled_height=min(max(round(image_height * scale), 1), input_height),
            scaled_width=min(max(round(image_width * scale), 1), input_width),
        )
