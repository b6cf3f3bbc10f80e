"""Are the settings sound, and do they fit each other? [core]."""

from collections.abc import Iterator

from airbridge.doctor.facts import Facts, SettingsFacts
from airbridge.doctor.finding import Finding


def check_settings(facts: Facts) -> Iterator[Finding]:
    """One line a file, one more for each mistake."""
    for one in facts.settings:
        yield from _check_one(one)


def _check_one(one: SettingsFacts) -> Iterator[Finding]:
    if not one.mistakes:
        yield Finding("settings", one.service, "ok", f"{one.path} is sound")
        return
    for mistake in one.mistakes:
        denied = "Permission denied" in mistake
        remedy = "run the doctor with sudo" if denied else f"correct it, then: sudo systemctl restart {one.service}"
        yield Finding("settings", one.service, "wrong", mistake, remedy)
