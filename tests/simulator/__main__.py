"""`python -m tests.simulator`: plays histories of each strategy and shows the first that goes wrong, shrunk."""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.simulator.history import RULES, draw, play, report, with_rows


def main() -> int:
    """Play them; the exit code is 1 when one went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("-n", type=int, default=1000, help="histories of each strategy")
    parser.add_argument("--strategy", choices=RULES, action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, help="play the history of this seed, and no other")
    parser.add_argument("--first", type=int, help="the first seed; by default one is drawn")
    options = parser.parse_args()
    first = options.first if options.first is not None else random.SystemRandom().randrange(10**9)
    seeds = range(first, first + options.n) if options.seed is None else [options.seed]
    for strategy in options.strategy or RULES:
        began = time.monotonic()
        for number, seed in enumerate(seeds, 1):
            for history in (drawn := draw(seed, strategy), with_rows(drawn)):
                if problem := play(history):
                    print(report(history, problem))
                    return 1
            if time.monotonic() - began > 2 and sys.stdout.isatty():
                print(f"\r{strategy}: {number} of {len(seeds)}", end="", flush=True)
        seconds = time.monotonic() - began
        print(f"\r{strategy}: {len(seeds)} histories from seed {seeds[0]}, all in order ({seconds:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
