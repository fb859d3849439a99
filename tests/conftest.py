from __future__ import annotations

import os

from hypothesis import settings

# No deadline: a slow machine is not a failure.  In CI the same examples every time: a red run can be repeated.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
