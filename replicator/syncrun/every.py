"""How often something is looked at that nothing announces. What a look costs, and what it finds, is its caller's."""

from __future__ import annotations

import time


class Every:
    """A look that is due once in so many seconds, and at first at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, 0.0

    def due(self) -> bool:
        """Whether it is time to look; then it is not again for a while."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
