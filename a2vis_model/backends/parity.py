"""The parity gate: what a backend computes is compared with eager fp32 before it is used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GateResult:
    """How a backend compares with eager fp32 over a fixed video, each carrying its own state from clip to clip."""

    clips: int
    visible_iou: float
    """Pixels where both have visible masks over those where either has, all slots, frames and clips together."""
    amodal_iou: float
    logits: float
    """Root mean square difference of mask logits over that of the logits."""
    classes: float
    """Greatest difference of a class probability."""
    state: float
    """Root mean square difference of p^G after the last clip over that of p^G."""
    failures: tuple[str, ...]
    """What is beyond its limit, with figure and limit; empty if the gate is passed."""

    @property
    def passed(self) -> bool:
        """Whether the backend may be used."""
        return not self.failures

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed: " + "; ".join(self.failures)
        return (
            f"{verdict} ({self.clips} clips: visible mask IoU {self.visible_iou:.4f}, amodal {self.amodal_iou:.4f}, "
            f"logits {self.logits:.1e}, classes {self.classes:.1e}, state {self.state:.1e})"
        )
