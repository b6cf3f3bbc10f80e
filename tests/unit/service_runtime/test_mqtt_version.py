"""MQTT 5 first, 3.1.1 where the broker refuses it."""

import pytest

from service_runtime.mqtt_session import VersionChoice


@pytest.mark.parametrize(("setting", "first"), [("auto", 5), (5, 5), (3, 3), (311, 3)])
def test_the_first_attempt_follows_the_setting(setting: int | str, first: int) -> None:
    assert VersionChoice(setting).version == first


@pytest.mark.parametrize("setting", [5, 3, 311])
def test_a_version_that_is_set_is_never_left(setting: int) -> None:
    choice = VersionChoice(setting)
    before = choice.version
    assert not choice.closed(0x84)
    assert not choice.closed(None)
    assert choice.version == before


@pytest.mark.parametrize("code", [0x84, None])
def test_a_refusal_of_5_is_followed_by_3_1_1_at_once_and_reported_once(code: int | None) -> None:
    choice = VersionChoice("auto")
    assert choice.closed(code)
    assert choice.version == 3
    assert choice.accepted()
    assert not choice.accepted()


@pytest.mark.parametrize("code", [0x86, 0x87, 0x85, 0x9A])
def test_a_refusal_of_the_login_changes_no_version(code: int) -> None:
    choice = VersionChoice("auto")
    assert not choice.closed(code)
    assert choice.version == 5


def test_a_refusal_in_words_holds_for_the_connections_that_follow() -> None:
    choice = VersionChoice("auto")
    choice.closed(0x84)
    choice.accepted()
    choice.lost()
    assert choice.version == 3


def test_a_close_without_a_reason_decides_about_one_connection_as_the_broker_may_have_been_going_down() -> None:
    choice = VersionChoice("auto")
    choice.closed(None)
    choice.accepted()
    choice.lost()
    assert choice.version == 5
    choice.closed(None)
    assert not choice.accepted(), "the same broker again: no second log line"


@pytest.mark.parametrize("code", [0x84, None])
def test_a_broker_that_refuses_both_is_tried_again_with_5_after_a_pause(code: int | None) -> None:
    choice = VersionChoice("auto")
    assert choice.closed(code)
    assert not choice.closed(code)
    assert choice.version == 5
