"""Images of 16 bits whose upper bits are never used: what a camera of fewer bits writes, nearly black as 8 bits."""

TWELVE_BITS = 4095
"""Greatest value of a 12-bit pixel."""


class DeepImages:
    """Notices that the 16-bit images of one source leave their upper bits unused.

    Args:
        enough: number of images after which it is said that none of them used the upper bits.
    """

    def __init__(self, enough: int = 1) -> None:
        self._left = enough

    @property
    def is_open(self) -> bool:
        """Whether further images matter."""
        return self._left > 0

    def see(self, *, unused: bool | None) -> bool:
        """Take the next image; true once, with the image that makes `enough`, if none used the upper bits.

        Args:
            unused: whether no pixel passes `TWELVE_BITS`; None for an image of 8 bits.
        """
        if unused is None or self._left == 0:
            return False
        self._left = self._left - 1 if unused else 0
        return unused and self._left == 0


def unused_bits(name: str) -> str:
    """Say of a picture file what is wrong with it and what helps."""
    return (
        f"{name}: no pixel of this 16-bit picture passes {TWELVE_BITS}, so that it is nearly black in the 8 bits that "
        "are used. If the camera has 12 bits, multiply the pixels of its pictures by 16 (10 bits: by 64) and save them "
        "anew; this is said once"
    )
