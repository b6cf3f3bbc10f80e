"""A release: what is in it, and that its sums and its signature hold."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def release(folder: Path, **environ: str) -> Path:
    subprocess.run(
        [str(ROOT / "deploy/packaging" / "release"), str(folder)],
        env={**os.environ, **environ},
        check=True,
        capture_output=True,
        timeout=400,
    )
    return folder


@pytest.mark.timeout(900)
def test_two_builds_are_equal_and_the_bill_names_every_file(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("a release is built from git")
    one = release(tmp_path / "one")
    clone = tmp_path / "deep" / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    command = f"umask 077; {clone}/deploy/packaging/release {tmp_path}/two"
    subprocess.run(["sh", "-c", command], env={**os.environ, "TZ": "Asia/Tokyo"}, check=True, capture_output=True)
    for file in one.iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name
    bill = json.loads(next(one.glob("*.cdx.json")).read_text())
    listed = {part["name"]: part["hashes"][0]["content"] for part in bill["components"] if part["type"] == "file"}
    others = {file.name for file in one.iterdir() if file.suffix != ".json" and file.name != "SHA256SUMS"}
    assert set(listed) == others
    for name, digest in listed.items():
        assert hashlib.sha256((one / name).read_bytes()).hexdigest() == digest
    assert all(part["properties"] for part in bill["components"])


@pytest.mark.timeout(600)
def test_the_signature_holds(tmp_path: Path) -> None:
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    key, public = tmp_path / "key", tmp_path / "key.pub"
    subprocess.run(["minisign", "-G", "-W", "-p", str(public), "-s", str(key)], check=True, capture_output=True)
    folder = release(tmp_path / "signed", MINISIGN_KEY=str(key))
    check = ["minisign", "-V", "-p", str(public), "-m", "SHA256SUMS"]
    subprocess.run(check, cwd=folder, check=True, capture_output=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    (folder / "SHA256SUMS").write_text("changed")
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True).returncode != 0
