"""Where, along a row of the image, what hides something ends. NumPy alone; no torch, no ROS."""

import numpy as np
from numpy.typing import NDArray


def uncovered_sides(covered: NDArray[np.bool_], at: int) -> tuple[int | None, int | None]:
    """The nearest uncovered columns to the left and to the right of a covered one.

    Args:
        covered: [W] whether something hides what is behind it, column by column.
        at: the column to start from.

    Returns:
        None for a side on which the cover reaches the end of the image. `at` twice where it is not covered itself.
    """
    free = np.flatnonzero(~covered)
    split = int(np.searchsorted(free, at))
    if split < len(free) and free[split] == at:
        return at, at
    return (int(free[split - 1]) if split else None), (int(free[split]) if split < len(free) else None)
