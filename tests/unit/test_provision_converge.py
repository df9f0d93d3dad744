"""Planning and converging without a host: what waits, what stops, what is told, and which exit code it comes to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from provision.apply.events import Event, Outcome, PlaceEnded, Planned, StepEnded, Tick
from provision.apply.jobs import Job, together
from provision.apply.lock import held
from provision.apply.places import Tell, converge, exit_code, failed
from provision.apply.stop import Stop
from provision.change import Change
from provision.errors import HostFailed, InputError, Interrupted, ProvisionError, Unreachable
from provision.facts import Facts, NotYet
from provision.plan import Item, Obstacle, Plan, Step, chosen_tasks, plan
from provision.resources.steps import StepEvent, Watch


@dataclass(frozen=True)
class Thing:
    """A resource that wants what it is told to want."""

    name: str
    wants: tuple[str, ...] = ()
    error: Exception | None = None

    def probes(self) -> Sequence[Any]:
        return ()

    def plan(self, facts: Facts) -> list[Change]:
        if self.error:
            raise self.error
        return [Change(summary=summary, script="true") for summary in self.wants]


def planned(*things: Thing) -> Plan:
    return plan("one", [Item("task", thing) for thing in things], Facts())


def test_a_plan_has_the_changes_of_all_resources_in_order() -> None:
    found = planned(Thing("a", ("1", "2")), Thing("b"), Thing("c", ("3",)))
    assert [change.summary for change in found.changes] == ["1", "2", "3"]
    assert not found.settled
    assert planned(Thing("a"), Thing("b")).settled


def test_what_is_not_known_yet_waits_and_the_rest_goes_on() -> None:
    found = planned(Thing("a", error=NotYet("the server is stopped")), Thing("b", ("1",)))
    assert found.waiting == (Obstacle("task", "a", "the server is stopped"),)
    assert [change.summary for change in found.changes] == ["1"]


def test_nothing_comes_after_what_cannot_be() -> None:
    found = planned(Thing("a", ("1",)), Thing("b", error=HostFailed("no room", hint="Make some.")), Thing("c", ("2",)))
    assert found.failure == Obstacle("task", "b", "no room Make some.")
    assert [change.summary for change in found.changes] == ["1"]


def test_tags_choose_tasks_in_their_own_order() -> None:
    assert chosen_tasks([])[-1] == "replication"
    assert chosen_tasks(["roles", "postgresql"]) == ("postgresql", "roles")
    with pytest.raises(InputError, match="there is no task 'role', expected some of repositories, base, "):
        chosen_tasks(["role"])


@dataclass
class Place:
    """A worker that has a plan for each look; acting takes what it is told to raise."""

    looks: list[Plan | ProvisionError]
    errors: dict[str, ProvisionError] = field(default_factory=dict)
    place: str = "one"
    tasks: tuple[str, ...] = ("first", "second", "third")
    done: list[str] = field(default_factory=list)

    def look(self) -> Plan:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, ProvisionError):
            raise found
        return found

    def act(self, steps: Sequence[Step], watch: Watch) -> None:
        for number, step in enumerate(steps):
            watch(StepEvent(number, "begins"))
            if error := self.errors.get(step.change.summary):
                raise error
            self.done.append(step.change.summary)
            watch(StepEvent(number, "ends", seconds=1.5))


def steps(*pairs: tuple[str, str]) -> Plan:
    return Plan(place="one", steps=tuple(Step(task, "it", Change(summary=text)) for task, text in pairs))


NOTHING = Plan(place="one")


def run(place: Place, stop: Stop | None = None) -> tuple[PlaceEnded, list[Event]]:
    told: list[Event] = []
    return converge(place, told.append, stop or Stop()), told


def outcomes(ended: PlaceEnded) -> dict[str, str]:
    return {result.task: str(result.outcome) for result in ended.results}


def test_nothing_to_do_takes_one_look() -> None:
    place = Place([NOTHING])
    ended, told = run(place)
    assert outcomes(ended) == {"first": "ok", "second": "ok", "third": "ok"}
    assert (ended.code, ended.settled) == (0, True)
    assert len([event for event in told if isinstance(event, Planned)]) == 1


def test_it_looks_again_until_nothing_is_left() -> None:
    place = Place([steps(("first", "a"), ("second", "b")), steps(("second", "c")), NOTHING])
    ended, told = run(place)
    assert place.done == ["a", "b", "c"]
    assert outcomes(ended) == {"first": "changed", "second": "changed", "third": "ok"}
    assert [(result.changes, result.seconds) for result in ended.results] == [(1, 1.5), (2, 3.0), (0, 0.0)]
    assert [event.first for event in told if isinstance(event, Planned)] == [True, False, False]


def test_a_failed_step_stops_the_place_and_names_the_task() -> None:
    place = Place([steps(("first", "a"), ("second", "b"), ("third", "c"))], errors={"b": HostFailed("b: it hurts")})
    ended, _ = run(place)
    assert outcomes(ended) == {"first": "changed", "second": "failed", "third": "skipped"}
    assert ended.results[1].message == "b: it hurts"
    assert (ended.code, ended.settled) == (1, False)


def test_changes_that_help_are_made_before_giving_up() -> None:
    stuck = Plan(place="one", failure=Obstacle("third", "thing", "no room"))
    before = Plan(place="one", steps=steps(("first", "a")).steps, failure=Obstacle("third", "thing", "no room"))
    place = Place([before, stuck])
    ended, _ = run(place)
    assert place.done == ["a"]
    assert outcomes(ended) == {"first": "changed", "second": "ok", "third": "failed"}
    assert ended.results[2].message == "thing: no room"


def test_waiting_for_nothing_is_a_failure() -> None:
    ended, _ = run(Place([Plan(place="one", waiting=(Obstacle("second", "role x", "the server is stopped"),))]))
    assert outcomes(ended)["second"] == "failed"
    assert ended.results[1].message == "role x: the server is stopped"


def test_a_step_that_does_not_help_is_not_repeated_for_ever() -> None:
    ended, _ = run(Place([steps(("second", "in vain"))]))
    assert outcomes(ended)["second"] == "failed"
    assert "in vain: done 8 times, and still found undone." in ended.results[1].message


def test_a_place_that_does_not_answer() -> None:
    ended, _ = run(Place([Unreachable("gone", hint="Is it up?")]))
    assert outcomes(ended) == {"first": "failed", "second": "skipped", "third": "skipped"}
    assert ended.code == 4


def test_it_stops_between_steps_when_asked() -> None:
    stop = Stop()
    place = Place([steps(("first", "a"), ("second", "b"))])
    told: list[Event] = []

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, StepEnded):
            stop.ask()

    ended = converge(place, tell, stop)
    assert place.done == ["a"]
    assert ended.code == 130
    assert ended.results[0].message == "stopped after: a."
    assert Outcome.FAILED not in {result.outcome for result in ended.results}
    assert run(Place([NOTHING]), stop)[0].code == 130, "asked before it begins, it does not begin"


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0), 0), ((0, 1), 1), ((1, 4), 4), ((4, 130), 130), ((0, 2), 2), ((2, 1), 1)]
)
def test_exit_codes_of_several_places(codes: tuple[int, ...], expected: int) -> None:
    assert exit_code(PlaceEnded(str(code), (), code) for code in codes) == expected


def test_failed_places_name_their_first_task() -> None:
    assert outcomes(failed("one", ("a", "b"), InputError("x"))) == {"a": "failed", "b": "skipped"}


def test_jobs_run_together_and_a_defect_in_one_does_not_hide_the_others() -> None:
    both = threading.Barrier(2, timeout=10)

    def good(tell: Tell) -> None:
        both.wait()
        tell(PlaceEnded("good", (), 0))

    def bad(_tell: Tell) -> None:
        both.wait()
        raise ZeroDivisionError

    told: list[Event] = []
    with pytest.raises(ZeroDivisionError):
        for event in together([Job("good", good), Job("bad", bad)], Stop()):
            told.append(event)
    assert [event for event in told if not isinstance(event, Tick)] == [PlaceEnded("good", (), 0)]


def test_asked_twice_what_runs_is_ended() -> None:
    stop, killed = Stop(), threading.Event()

    def stubborn(_tell: Tell) -> None:
        assert killed.wait(10)

    for _ in together([Job("stubborn", stubborn, killed.set)], stop):
        stop.ask()
    assert killed.is_set()


def test_the_lock_is_held_once_and_says_by_whom(tmp_path: Any) -> None:
    path = tmp_path / "locks" / "one"
    with (
        held(path, lambda: False),
        pytest.raises(HostFailed, match=r"another provision run \(process \d+\) is working on it\."),
        held(path, lambda: False),
    ):
        pass


def test_a_lock_file_that_was_removed_is_made_anew(tmp_path: Any) -> None:
    path = tmp_path / "one"
    with held(path, lambda: False):
        path.unlink()
        with held(path, lambda: False):
            assert path.exists()


def test_interrupted_has_its_own_code() -> None:
    assert Interrupted().exit_code == 130
