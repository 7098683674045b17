"""How much longer than on hardware tests wait for things to happen: a machine that is emulated is many times slower.

Deadlines of tests are multiplied with it; what tests assert about durations is not.
"""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("STEERSMAN_PATIENCE", "1"))
