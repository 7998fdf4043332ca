"""Private interfaces of TrackEval, every one that this package uses.

Read in TrackEval 1.3.0, the version that pyproject.toml asks for.
"""

from typing import Any

import numpy as np

from ..extras import optional_packages

with optional_packages():
    from trackeval.metrics.track_map import TrackMAP

READ_IN = "1.3.0"
"""The version of TrackEval whose source this class was written after; `pyproject.toml` asks for exactly this one."""


class PrecomputedTrackMAP(TrackMAP):
    """TrackEval's average precision of tracks, on overlaps that are computed already for all pairs of a video.

    TrackEval computes them by a private static method from the data's `dt_tracks` and `gt_tracks`. Here `dt_tracks`
    holds the overlaps, [P, G].
    """

    @staticmethod
    def _compute_track_ious(dt: Any, gt: Any, iou_function: str = "mask", boxformat: str = "") -> Any:
        return np.asarray(dt).reshape(len(dt), len(gt))
