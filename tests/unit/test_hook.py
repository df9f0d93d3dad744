"""Hooks as they are declared, and what their answers mean."""

from __future__ import annotations

import pytest

from replicator.errors import HookFailed, HookRetries, HookSkips, HookStops
from replicator.hook import Hook, Moment, moment
from replicator.hooks import heed


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("after_sync", Moment.AFTER_SYNC),
        (" Before_Txn ", Moment.BEFORE_TXN),
        ("before_trigger_drop", Moment.BEFORE_ROWS),
        ("after_trigger_disable", Moment.BEFORE_ROWS),
        ("before_trigger_enable", Moment.AFTER_ROWS),
    ],
)
def test_moments_by_our_words_and_bucardos(word: str, meant: Moment) -> None:
    assert moment(word) is meant


@pytest.mark.parametrize(("word", "why"), [("conflict", "decided by a strategy"), ("whenever", "expected one of")])
def test_what_is_no_moment(word: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        moment(word)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, ""),
        ({"call": "python:a.b:c"}, ""),
        ({"call": "python:/x/y.py:c"}, ""),
        ({"call": "perl:x"}, "expected sql:FUNCTION or python"),
        ({"call": "sql:"}, "expected sql:FUNCTION or python"),
        ({"call": "python:f"}, "expected sql:FUNCTION or python"),
        ({"name": "no dash-es"}, "letters, digits or underscores"),
        ({"seconds": 0}, "above 0"),
        ({"seconds": 4000}, "at most 3600"),
        ({"tables": ("public.t",)}, "it is not known which tables"),
        ({"tables": ("public.t",), "moment": Moment.AFTER_TXN}, ""),
    ],
)
def test_what_is_wrong_with_one(fields: dict[str, object], fault: str) -> None:
    hook = Hook(**{"name": "h", "moment": Moment.AFTER_SYNC, "call": "sql:f", **fields})  # type: ignore[arg-type]
    found = list(hook.faults())
    assert (not found) if not fault else (len(found) == 1 and fault in found[0])


@pytest.mark.parametrize("answer", [None, "", {}, {"message": "m", "warning": "w"}, {"skip": False, "error": ""}])
def test_answers_after_which_all_goes_on(answer: object) -> None:
    heed("hook", answer)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ({"skip": "later"}, HookSkips, "hook says skip: later."),
        ({"retry": True}, HookRetries, "hook says retry."),
        ({"stop": "mend it", "retry": True}, HookStops, "mend it"),
        ({"error": "bad", "stop": True}, HookFailed, "hook says error: bad"),
        ("text", HookFailed, "answered 'text'. Expected nothing, or an object"),
        ({"unknown": 1}, HookFailed, "Expected nothing, or an object"),
        ([1], HookFailed, "Expected nothing, or an object"),
    ],
)
def test_answers_that_have_consequences(answer: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        heed("hook", answer)
    assert text in str(caught.value)
