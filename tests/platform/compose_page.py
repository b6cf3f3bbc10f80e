"""docs/docker.md followed by the letter: encryption, a login that is replaced, a backup that is restored."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.platform.checkout import ROOT, copy_checkout
from tests.platform.compose_cabinet import Adapter, Cabinet
from tests.platform.compose_project import Project, brought_up, print_line
from tests.platform.docker_engine import DockerEngine

HALVES = ("publisher", "rtu-server")


class Follower:
    """Somebody with a checkout, who types what the page says."""

    def __init__(self, engine: DockerEngine, folder: Path) -> None:
        self._engine, self._folder = engine, folder

    def type(self, command: str) -> str:
        """Run a line in a shell; return what it said. AssertionError where it fails."""
        ended = subprocess.run(
            ["sh", "-c", command],
            cwd=self._folder,
            env=self._engine.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"
        return ended.stdout.strip()

    def follow(self, section: str) -> None:
        """Do what a section's blocks say: commands, lines for .env, an override file."""
        for block in blocks(section):
            if block.startswith("services:"):
                (self._folder / "docker-compose.override.yml").write_text(block)
            elif re.match(r"[A-Z_]+=", block):
                with (self._folder / ".env").open("a") as env:
                    env.write(block)
            else:
                self.type(block)

    def password(self, role: str) -> str:
        shown = f"docker compose run --rm --no-deps --entrypoint cat logins /logins/{role}/password"
        return self.type(shown).splitlines()[-1]


def blocks(section: str) -> Iterator[str]:
    """The indented blocks of a section of the page."""
    page = (ROOT / "docs" / "docker.md").read_text()
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, section
    for block in re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", found[1], re.MULTILINE):
        yield re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip() + "\n"


def the_page(engine: DockerEngine) -> None:
    with ExitStack() as stack:
        cabinet = Cabinet(stack)
        folder = cabinet.folder / "checkout"
        copy_checkout(folder)
        me = Follower(engine, folder)
        variables = {"COMPOSE_PROFILES": "publisher,rtu", "METER_HOST": "127.0.0.1", "SERIAL_PORT": str(Adapter.name)}
        project = stack.enter_context(brought_up(Project(engine, folder=folder, **variables)))
        await_healthy(project)

        me.follow("Encryption")
        me.type("docker compose up -d --force-recreate")
        await_healthy(project)
        for half in HALVES:
            assert "8883" in project.compose("logs", half), project.compose("logs", half)
        cabinet.check_answers()
        print_line("encrypted, as the page tells: both halves healthy over port 8883")

        before = me.password("reader")
        me.follow("Logins for others")
        assert me.password("reader") != before
        await_healthy(project)
        print_line("a login replaced, as the page tells: healthy with the new one")

        kept = me.password("homeassistant")
        backup, restore = (block for block in blocks("Upgrade and backup") if "tar" in block)
        me.type(backup)
        me.type("docker compose down -v")
        me.type(restore)
        me.type("docker compose up -d")
        await_healthy(project)
        assert me.password("homeassistant") == kept
        print_line("backed up and restored, as the page tells: healthy with the same logins")


def await_healthy(project: Project) -> None:
    for service in ("mosquitto", *HALVES):
        project.until_health(service, "healthy", 60.0)
