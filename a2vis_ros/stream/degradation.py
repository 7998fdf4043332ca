"""Graceful degradation: what the node gives up while its results are too old, and restores when there is time again.

    clip stride, doubled up to the clip length  →  overlay and ID image

A larger stride decodes fewer clips for as many frames, but the first frame of a clip then waits for the last. Where the
camera is slow compared to the model that makes results older, not younger: a stride is kept only if the p95 of the
results' age fell with it.
"""

import math

import numpy as np

WINDOW = 30
"""Number of results that are judged together."""
SETTLING = 10
"""Number of results after a change that are not judged, because some of them are from before it."""
ROOM = 0.6
"""Share of the budget below which something that was given up may be restored."""
HELPS = 0.95
"""Share of the previous p95 that a larger stride has to reach to be kept."""
PATIENCE, MAX_PATIENCE = 4, 64
"""Numbers of windows below `ROOM` before something is restored: at first, and after repeated failures."""


class Degradation:
    """Decides by the ages of the results. It starts with everything enabled and takes one step at a time.

    Args:
        budget_s: allowed p95 of the ages in seconds; 0 never gives anything up.
        stride: frames between clips without degradation.
        max_stride: the model's clip length.
    """

    def __init__(self, *, budget_s: float, stride: int, max_stride: int) -> None:
        self._usual_stride = stride
        self._max_stride = max_stride
        self.set_budget(budget_s)

    @property
    def degraded(self) -> bool:
        """Whether anything is given up."""
        return not self.pictures or self.stride != self._usual_stride

    def set_budget(self, budget_s: float) -> None:
        """Set another budget and start again with everything enabled."""
        self._budget_s = budget_s
        self.stride, self.pictures = self._usual_stride, True
        self._ages: list[float] = []
        self._settling = 0
        self._stride_helps = True
        self._before_stride: tuple[int, float] | None = None
        self._exhausted = False
        self._calm = 0
        self._patience = PATIENCE
        self._took_back = False

    def observe(self, age_s: float) -> bool:
        """Take the age of a result in seconds, NaN where it has none; return whether `stride` or `pictures` changed."""
        if not self._budget_s or math.isnan(age_s):
            return False
        if self._settling:
            self._settling -= 1
            return False
        self._ages.append(age_s)
        if len(self._ages) < WINDOW:
            return False
        p95 = float(np.percentile(self._ages, 95))
        self._ages.clear()
        changed = self._give_up(p95) if p95 > self._budget_s else self._take_back(p95)
        if changed:
            self._settling = SETTLING
        return changed

    def __str__(self) -> str:
        if not self._budget_s:
            return "off"
        if not self.degraded:
            return f"full quality, age_budget_s is {self._budget_s:g}"
        given_up = []
        if self.stride != self._usual_stride:
            given_up.append(f"a clip every {self.stride} frames instead of {self._usual_stride}")
        if not self.pictures:
            given_up.append("no overlay and no ID image")
        exhausted = "; results are still too old, and nothing more can be given up" if self._exhausted else ""
        return f"{', '.join(given_up)} to keep age_budget_s={self._budget_s:g}{exhausted}"

    def _give_up(self, p95: float) -> bool:
        self._calm = 0
        if self._took_back:
            self._took_back = False
            self._patience = min(2 * self._patience, MAX_PATIENCE)
        if self._before_stride is not None:
            stride, p95_before = self._before_stride
            self._before_stride = None
            if p95 > HELPS * p95_before:
                self.stride, self._stride_helps = stride, False
        if not self.pictures:
            self._exhausted = True
            return False
        if self._stride_helps and self.stride < self._max_stride:
            self._before_stride = self.stride, p95
            self.stride = min(2 * self.stride, self._max_stride)
        else:
            self.pictures = False
        return True

    def _take_back(self, p95: float) -> bool:
        self._before_stride = None
        self._exhausted = False
        self._calm = self._calm + 1 if p95 < ROOM * self._budget_s else 0
        if self._calm < self._patience:
            return False
        self._calm = 0
        self._took_back = self.degraded
        if not self.pictures:
            self.pictures = True
        elif self.stride > self._usual_stride:
            self.stride = max(self.stride // 2, self._usual_stride)
        else:
            # The node has been fast enough for long: earlier failures are forgotten.
            self._patience, self._stride_helps = PATIENCE, True
        return self._took_back
