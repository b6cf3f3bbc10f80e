"""Are the settings sound, and do they fit each other? [core]."""

from collections.abc import Iterator

from airbridge.doctor.facts import Facts, SettingsFacts
from airbridge.doctor.finding import Finding


def check_settings(facts: Facts) -> Iterator[Finding]:
    """One line a file, one more for each mistake."""
    for one in facts.settings:
        yield from _check_one(one)


def check_services(facts: Facts) -> Iterator[Finding]:
    """One line a service of this host: whether it runs."""
    for one in facts.services:
        start = f"journalctl -u {one.name} -e says why; then: sudo systemctl restart {one.name}"
        if one.sub == "auto-restart":
            text = f"ends soon after each start ({one.result})"
            yield Finding("service", one.name, "wrong", text, start)
        elif one.active == "failed":
            yield Finding("service", one.name, "wrong", f"has failed ({one.result})", start)
        elif one.active in ("active", "activating", "reloading"):
            yield Finding("service", one.name, "ok", "runs" if one.active == "active" else "starts")
        elif one.enabled:
            yield Finding("service", one.name, "wrong", "is stopped", f"sudo systemctl start {one.name}")
        else:
            yield Finding("service", one.name, "note", "is switched off", f"sudo systemctl enable --now {one.name}")


def _check_one(one: SettingsFacts) -> Iterator[Finding]:
    if not one.mistakes:
        yield Finding("settings", one.service, "ok", f"{one.path} is sound")
        return
    for mistake in one.mistakes:
        denied = "Permission denied" in mistake
        remedy = "run the doctor with sudo" if denied else f"correct it, then: sudo systemctl restart {one.service}"
        yield Finding("settings", one.service, "wrong", mistake, remedy)
