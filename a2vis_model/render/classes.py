"""The renderer's ten classes: the five fish of FISHBOWL, then the five bodies of the robot world."""

CLASS_NAMES: tuple[str, ...] = (
    "SmallFishA",
    "MediumFishA",
    "MediumFishB",
    "BigFishA",
    "BigFishB",
    "Person",
    "Vehicle",
    "Box",
    "Ball",
    "Robot",
)
FISH_NAMES: tuple[str, ...] = CLASS_NAMES[:5]
BODY_NAMES: tuple[str, ...] = CLASS_NAMES[5:]
WORLD_CLASSES = {"aquarium": FISH_NAMES, "robot": BODY_NAMES, "mixed": CLASS_NAMES}
"""Classes that occur in each world."""
