"""Defines the command line of `airbridge setup`."""

import ipaddress
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from airbridge.setup.meter_questions import parse_place
from airbridge.setup.run import DefaultAnswers, Runner, Screen, TerminalAnswers, Unanswered
from airbridge.setup.services import look
from airbridge.setup.settings_text import UnreadableSettings
from airbridge.setup.steps import text
from airbridge.setup.texts import render
from airbridge.setup.wizard import setup as wizard
from airbridge.setup.wizard_input import FILES, Address, Given

USAGE, UNANSWERED, INTERRUPTED = 2, 3, 130
FOLDER = Path("/etc/ksem-airbridge")
_TOPICS = ("meter", "port", "broker")


def setup(
    publisher: Annotated[bool, typer.Option("--publisher", help="Set the meter's side up.")] = False,
    rtu_server: Annotated[bool, typer.Option("--rtu-server", help="Set the inverter's side up.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Set the web page's login up.")] = False,
    meter: Annotated[str | None, typer.Option(metavar="HOST[:PORT]", help="The KSEM.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Look for the KSEM here, as 192.168.1.0/24.")
    ] = None,
    scan: Annotated[bool, typer.Option(help="Look for the KSEM at every address of the own network.")] = True,
    port: Annotated[str | None, typer.Option(metavar="PATH", help="The RS485 port.")] = None,
    broker: Annotated[str | None, typer.Option(metavar="HOST[:PORT]", help="The broker.")] = None,
    username: Annotated[str | None, typer.Option(help="Name to log in with at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password alone.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Encrypt; the CA that signed the broker.")] = None,
    change: Annotated[
        list[str] | None, typer.Option(metavar="WHAT", help="Change this alone: meter, port or broker.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take each question's default; prompt for nothing.")] = False,
    untested: Annotated[bool, typer.Option("--untested", help="Write what did not pass its test, too.")] = False,
    wait: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="Wait so long for what is set in a menu (120; with --yes 10)."),
    ] = None,
    start: Annotated[bool, typer.Option(help="Start the services and run the doctor at the end.")] = True,
    folder: Annotated[Path, typer.Option(help="The settings' folder.")] = FOLDER,
) -> None:
    """Find the meter, the RS485 adapter and the broker, test them, and write the settings.

    Run it again at any time to change one thing: everything else, comments included, stays as it is. The files as they
    were are kept in the folder `backup`. Without a terminal, or with `--yes`, options answer the questions.

    Exit code: 0 all is well, 1 the doctor found something, 2 the command line is wrong, 3 a question has no answer, 4
    nothing was written, 130 interrupted.
    """
    chosen = {"ksem-publisher": publisher, "rtu-server": rtu_server, "ksem-dashboard": dashboard}
    try:
        given = Given(
            services=tuple(service for service in FILES if chosen[service]),
            meter=_place(meter),
            port=port,
            broker=_place(broker),
            username=username,
            password=password_file.read_text(encoding="utf-8").rstrip("\r\n") if password_file else None,
            ca_file=_file(ca_file),
            networks=tuple(str(ipaddress.IPv4Network(one, strict=False)) for one in network or ()),
            scan=scan,
            untested=untested,
            wait=wait if wait is not None else 10.0 if yes else 120.0,
            start=start,
            change=frozenset(_topic(one) for one in change or ()),
        )
        existing = look(folder)
        console = Console()
        answers = DefaultAnswers() if yes or not sys.stdin.isatty() else TerminalAnswers(console)
        code = Runner(Screen(console), answers, existing).run(wizard(given, existing))
    except Unanswered as error:
        _end(str(error), UNANSWERED)
    except (KeyboardInterrupt, EOFError):
        _end("\n" + render(text("interrupted")), INTERRUPTED)
    except UnreadableSettings as error:
        _end(render(text("unreadable", why=str(error))), USAGE)
    except (OSError, ValueError) as error:
        _end(str(error), USAGE)
    raise typer.Exit(code)


def _place(given: str | None) -> Address | None:
    return parse_place(given) if given else None


def _file(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path.resolve() if path else None


def _topic(name: str) -> str:
    if name not in _TOPICS:
        raise ValueError(f"--change {name}: {', '.join(_TOPICS)}")
    return name


def _end(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
