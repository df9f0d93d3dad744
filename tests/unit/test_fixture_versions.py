"""Which versions a test runs on: what the `pg` mark and PGHERD_TEST_PG say."""

from __future__ import annotations

import pytest

from tests.fixtures import versions


@pytest.fixture(autouse=True)
def not_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHERD_TEST_PG", raising=False)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("all", tuple(range(10, 19))),
        ("16", (16,)),
        (">=16", (16, 17, 18)),
        ("<12", (10, 11)),
        ("18, 10", (10, 18)),
        (">17,<=10", (10, 18)),
    ],
)
def test_wishes_are_read(wish: str, expected: tuple[int, ...]) -> None:
    assert versions.select(wish) == expected


@pytest.mark.parametrize("wish", ["", "9", "sixteen", "16-18", "~16"])
def test_wishes_that_name_no_version_are_refused(wish: str) -> None:
    with pytest.raises(ValueError):
        versions.select(wish)


def test_every_version_is_once_a_source_and_once_a_target() -> None:
    sources, targets = zip(*versions.pairs(None), strict=True)
    assert sorted(sources) == sorted(targets) == list(range(10, 19))


def test_a_narrowed_run_keeps_what_the_version_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHERD_TEST_PG", "13")
    assert versions.default() == 13
    assert versions.single(None) == (13,)
    assert versions.single("all") == (13,)
    assert versions.single(">=14") == ()
    assert versions.pairs(None) == ((13, 15), (15, 13))


def test_pairs_have_both_ends_in_the_wish() -> None:
    assert versions.pairs(">=13") == ((13, 15), (14, 14), (15, 13))
