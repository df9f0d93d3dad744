"""What marks a function as a task: a stage of provisioning that says what a host should have."""

from __future__ import annotations

from collections.abc import Callable

from provision.resources import Resource
from provision.tasks.node import Node

Task = Callable[[Node], list[Resource]]

TASKS: dict[str, Task] = {}
"""Every task by name, in the order in which they are imported."""


def task(function: Task) -> Task:
    """Register a task under its function's name."""
    TASKS[function.__name__] = function
    return function
