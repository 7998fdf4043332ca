"""The studies are not installed; what is comes first."""

import sys

from paths import ROOT

sys.path.append(str(ROOT))
