"""`bucardo_ctl deactivate`: see `activate`."""

from __future__ import annotations

from replicator.bucardo.commands.activate import run

__all__ = ["run"]
