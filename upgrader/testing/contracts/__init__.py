"""The contract suites of all kinds of plugin: what an author subclasses, and what a rig must offer.

They need pytest; nothing else of `upgrader` does.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{one}" for one in ("signals", "balancers", "strategies", "steps", "checks"))
)
