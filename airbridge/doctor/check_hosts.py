"""Do both halves have one version; how do the hosts' clocks differ? [core]."""

from collections.abc import Iterator

from airbridge.doctor.facts import Facts
from airbridge.doctor.finding import Finding


def check_versions(facts: Facts) -> Iterator[Finding]:
    """One line: all the same, or who has which."""
    found = {f"publisher of {one.id}": one.health.version for one in facts.seen_meters if one.health}
    found |= {f"RTU server {one.name}": one.health.version for one in facts.seen_nodes if one.health}
    found["this command"] = facts.version
    if len(found) == 1:
        yield Finding("versions", "all", "note", f"{facts.version} here; no service of ours was heard")
    elif len(set(found.values())) == 1:
        yield Finding("versions", "all", "ok", f"{facts.version} everywhere ({len(found)} seen)")
    else:
        listed = ", ".join(f"{who} {version}" for who, version in found.items())
        yield Finding("versions", "all", "warn", f"they differ: {listed}", "upgrade all to one version, in any order")


def check_clocks(facts: Facts) -> Iterator[Finding]:
    """For people who compare logs: ages do not depend on it."""
    for meter in facts.seen_meters:
        ahead = meter.clock_ahead_s
        if ahead is None:
            continue
        if abs(ahead) < 1.0:
            yield Finding("clocks", meter.id, "ok", "the publisher's clock and this host's agree")
        else:
            text = f"the publisher's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this host's"
            yield Finding("clocks", meter.id, "note", f"{text}; logs show it, ages do not depend on it")
