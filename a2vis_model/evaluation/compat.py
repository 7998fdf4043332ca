"""All private interfaces of TrackEval that this package uses.

They were read in TrackEval 1.3.0, the version that pyproject.toml requires.
"""

from typing import Any

import numpy as np

from ..extras import optional_packages

with optional_packages():
    from trackeval.metrics.track_map import TrackMAP

READ_IN = "1.3.0"
"""Version of TrackEval whose source this class was written for; `pyproject.toml` requires exactly this one."""


class PrecomputedTrackMAP(TrackMAP):
    """TrackEval's average precision of tracks on overlaps that are already computed, for all pairs of a video at once.

    TrackEval computes them by a private static method from the data's `dt_tracks` and `gt_tracks`. Here `dt_tracks`
    holds the overlaps, [P, G].
    """

    @staticmethod
    def _compute_track_ious(dt: Any, gt: Any, iou_function: str = "mask", boxformat: str = "") -> Any:
        """Return the given overlaps."""
        return np.asarray(dt).reshape(len(dt), len(gt))
