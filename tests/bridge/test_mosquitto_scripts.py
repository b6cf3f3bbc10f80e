"""make-users and make-certs: once, never overwriting, readable by whom it concerns, and telling what comes next."""

import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.bridge.shipped_broker import ROLES, run_script


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def places(folder: Path) -> list[str | Path]:
    return ["--broker", folder / "broker", "--logins", folder / "logins"]


def hashes(folder: Path) -> dict[str, str]:
    lines = (folder / "broker" / "passwords").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)


def test_each_role_gets_a_random_password_of_its_own(tmp_path: Path) -> None:
    run_script("make-users", *places(tmp_path))
    passwords = {(tmp_path / "logins" / role / "password").read_text() for role in ROLES}
    assert len(passwords) == len(ROLES)
    assert all(len(password.strip()) >= 32 for password in passwords)
    assert hashes(tmp_path).keys() == set(ROLES)


def test_a_password_is_readable_by_owner_and_group_only_and_the_hashes_by_the_broker_only(tmp_path: Path) -> None:
    run_script("make-users", *places(tmp_path))
    assert mode(tmp_path / "broker" / "passwords") == 0o600
    assert {mode(path) for path in (tmp_path / "logins").glob("*/password")} == {0o640}
    assert {mode(path) for path in (tmp_path / "logins").iterdir()} == {0o750}


def test_no_password_is_printed(tmp_path: Path) -> None:
    reported = run_script("make-users", *places(tmp_path)).stdout
    assert not [path for path in (tmp_path / "logins").glob("*/password") if path.read_text().strip() in reported]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    run_script("make-users", *places(tmp_path))
    before = contents(tmp_path)
    reported = run_script("make-users", *places(tmp_path)).stdout
    assert contents(tmp_path) == before
    assert reported.count("kept") == len(ROLES)


def test_the_acl_is_renewed_with_each_run_and_readable_by_the_broker_only(tmp_path: Path) -> None:
    source, made = tmp_path / "acl", tmp_path / "broker" / "acl"
    for text in ("user a\n", "user b\n"):
        source.write_text(text)
        run_script("make-users", *places(tmp_path), "--acl", source)
        assert made.read_text() == text
        assert mode(made) == 0o600


def test_a_role_that_comes_later_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    run_script("make-users", *places(tmp_path), "publisher")
    first = hashes(tmp_path)
    run_script("make-users", *places(tmp_path))
    assert hashes(tmp_path).keys() == set(ROLES)
    assert hashes(tmp_path)["publisher"] == first["publisher"]


def test_users_that_others_added_stay(tmp_path: Path) -> None:
    run_script("make-users", *places(tmp_path), "publisher")
    passwords = tmp_path / "broker" / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "zigbee", "secret"], check=True, capture_output=True)
    before = hashes(tmp_path)["zigbee"]
    run_script("make-users", *places(tmp_path))
    assert hashes(tmp_path)["zigbee"] == before


def test_a_login_brought_from_elsewhere_is_made_known_to_the_broker(tmp_path: Path) -> None:
    password = tmp_path / "logins" / "rtu" / "password"
    password.parent.mkdir(parents=True)
    password.write_text("brought\n")
    run_script("make-users", *places(tmp_path), "rtu")
    assert password.read_text() == "brought\n"
    assert "rtu" in hashes(tmp_path)


def test_a_role_that_does_not_exist_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run_script("make-users", *places(tmp_path), "publisher", "admin", check=False)
    assert ended.returncode == 2
    assert "no role admin; there are publisher, rtu" in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["make-users", "make-certs"])
def test_help_teaches_with_examples(script: str) -> None:
    reported = run_script(script, "--help").stdout
    assert f"sudo mosquitto/{script}" in reported
    assert "never overwritten" in reported


def make_certs(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run_script("make-certs", *places(folder), "--ca", folder / "ca", *arguments, check=check)


def test_certificates_are_signed_by_the_one_authority_and_fit_for_their_use(tmp_path: Path) -> None:
    make_certs(tmp_path, "broker.lan", "192.168.1.5")
    server = tmp_path / "broker" / "certs" / "server.pem"
    clients = list((tmp_path / "logins").glob("*/cert.pem"))
    assert len(clients) == len(ROLES)
    for purpose, certificate in [("sslserver", server), *(("sslclient", client) for client in clients)]:
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(tmp_path / "ca" / "ca.pem")]
        subprocess.run([*command, str(certificate)], check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(server), "-noout", "-ext", "subjectAltName"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "DNS:broker.lan" in shown
    assert "IP Address:192.168.1.5" in shown


def test_keys_are_readable_by_whom_they_belong_to_only(tmp_path: Path) -> None:
    make_certs(tmp_path, "broker.lan")
    assert mode(tmp_path / "ca" / "ca.key") == 0o600
    assert mode(tmp_path / "broker" / "certs" / "server.key") == 0o600
    assert {mode(path) for path in (tmp_path / "logins").glob("*/key.pem")} == {0o640}


def test_a_second_run_for_certificates_changes_nothing(tmp_path: Path) -> None:
    make_certs(tmp_path, "broker.lan", "--role", "rtu")
    before = contents(tmp_path)
    make_certs(tmp_path, "another.lan", "--role", "rtu")
    assert contents(tmp_path) == before


def test_half_a_pair_is_told_and_not_touched(tmp_path: Path) -> None:
    make_certs(tmp_path, "broker.lan", "--role", "rtu")
    (tmp_path / "ca" / "ca.key").unlink()
    before = contents(tmp_path)
    ended = make_certs(tmp_path, "broker.lan", check=False)
    assert ended.returncode == 1
    assert "ca.key" in ended.stderr
    assert "put it back" in ended.stderr
    assert contents(tmp_path) == before


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    ended = make_certs(tmp_path, "http://broker", check=False)
    assert ended.returncode == 2
    assert "neither a host name nor an address: http://broker" in ended.stderr


def test_certificates_and_the_list_of_revoked_ones_begin_a_day_ago(tmp_path: Path) -> None:
    """A host whose clock is some hours behind takes them."""
    make_certs(tmp_path, "broker.lan", "--role", "rtu")
    begun = int(time.time()) - 12 * 3600
    certs = tmp_path / "broker" / "certs"
    for certificate in (certs / "server.pem", tmp_path / "logins" / "rtu" / "cert.pem"):
        words = ("openssl", "verify", "-attime", str(begun), "-crl_check", "-CRLfile", str(certs / "crl.pem"))
        subprocess.run([*words, "-CAfile", str(tmp_path / "ca" / "ca.pem"), str(certificate)], check=True)


def test_each_run_sets_the_rights_of_logins_anew(tmp_path: Path) -> None:
    run_script("make-users", *places(tmp_path))
    make_certs(tmp_path, "broker.lan")
    reader = tmp_path / "logins" / "reader"
    opened = [reader / "password", reader / "key.pem", tmp_path / "broker" / "passwords"]
    for path in opened:
        path.chmod(0o666)
    reader.chmod(0o777)
    run_script("make-users", *places(tmp_path))
    make_certs(tmp_path, "broker.lan")
    assert [mode(path) for path in opened] == [0o640, 0o640, 0o600]
    assert mode(reader) == 0o750


def test_names_or_a_role_to_revoke_and_not_both(tmp_path: Path) -> None:
    for words in ((), ("broker.lan", "--revoke", "rtu")):
        assert make_certs(tmp_path, *words, check=False).returncode == 2
