"""The process in which hooks in Python run: `python -m replicator.hooks.child MODULE|FILE.py FUNCTION PARENT`.

It answers as `apply.judge` does, and dies with the controller that started it, even while a function is stuck.
"""

from __future__ import annotations

import sys

from replicator import lifeline
from replicator.apply import judge


def main() -> None:
    """Answer until nobody asks any more."""
    lifeline.tie_by_signal(int(sys.argv.pop()))
    judge.main()


if __name__ == "__main__":
    main()
