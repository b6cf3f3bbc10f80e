"""The command line of `airbridge pair`."""

import getpass
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from airbridge.pairing import here
from airbridge.pairing.line import MAX_LINE, BadLine, Pairing, decode, encode
from airbridge.setup.services import look
from airbridge.setup.settings_text import UnreadableSettings

FAILED, USAGE = 1, 2
FOLDER = Path("/etc/ksem-airbridge")
LINE_SCRIPT = "sudo ./install.sh rtu-server --pair -"

app = typer.Typer(no_args_is_help=True, help="Pair this host with the other one by one line that holds all it needs.")


@app.command("show")
def show(
    broker: Annotated[
        str | None, typer.Option(metavar="HOST", help="The broker's name or address for the other host.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The broker's port for the other host.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="The other host is to use the encrypted listener.")] = False,
    folder: Annotated[Path, typer.Option(help="The settings' folder.")] = FOLDER,
    logins: Annotated[
        Path | None, typer.Option(help="In a container: a folder with a folder for each role. Needs --broker.")
    ] = None,
) -> None:
    """Print the line for the host of the inverter. Run it where ksem-publisher runs.

    Where [integrity] has no key yet, one is made and set, in rtu-server.toml of this host too. Restart the services
    that are named then. The line alone goes to standard output. It holds secrets: paste it, and keep it nowhere.
    """
    try:
        if logins is not None:
            if broker is None:
                _end("--logins needs --broker, the broker's name or address for the other host", USAGE)
            _print(here.show_logins(logins, broker=broker, port=port, tls=tls))
            return
        shown = here.show(folder, broker=broker, port=port, tls=tls)
    except (here.Unpaired, OSError, UnreadableSettings) as error:
        _end(_words(error), FAILED)
    for service in shown.changed:
        _note(f"{service} has a new key in force after: systemctl restart {service}")
    _print(shown.pairing)


@app.command("take")
def take(
    line: Annotated[str, typer.Argument(metavar="[-]", help="`-`: the line comes from standard input.")] = "-",
    folder: Annotated[Path, typer.Option(help="The settings' folder.")] = FOLDER,
    logins: Annotated[Path | None, typer.Option(help="In a container: the folder with a folder for each role.")] = None,
) -> None:
    """Take the line that `airbridge pair show` printed. Run it where rtu-server is to run.

    It comes from standard input, so that it stands in no history and no list of processes. Written are the login's
    files and rtu-server.toml, all of it or nothing.
    """
    if line != "-":
        _end("give the line on standard input, not as an argument: other users of this host see arguments", USAGE)
    try:
        pairing = decode(_input())
        if logins is not None:
            here.write_files(logins / here.ROLE, dict(pairing.files))
            typer.echo(_environment(pairing))
            return
        here.take(folder, pairing, look(folder).templates["rtu-server.toml"])
    except BadLine as bad:
        _end(f"{bad}. Nothing was changed.", USAGE)
    except (here.Unpaired, OSError, UnreadableSettings) as error:
        _end(_words(error), FAILED)
    _note(f"{folder}/rtu-server.toml names the broker {pairing.host} port {pairing.port}, the login and the key")


def _input() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Paste the line (it is not shown) and press Enter: ")
    return sys.stdin.read(2 * MAX_LINE)


def _print(pairing: Pairing) -> None:
    text = encode(pairing)
    decode(text)  # what the other host would refuse is an error here
    _note(f"The line holds passwords and keys. It names the broker {pairing.host}; --broker gives it another name.")
    _note(f"On the other host: {LINE_SCRIPT}")
    typer.echo(text)


def _environment(pairing: Pairing) -> str:
    """The lines of .env, for containers."""
    lines = [f"MQTT_HOST={pairing.host}", f"MQTT_PORT={pairing.port}", "MESSAGE_KEY=true"]
    return "\n".join([*lines, *(["MQTT_TLS=true"] if pairing.tls else [])])


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        hint = " (run it with sudo?)" if isinstance(error, PermissionError) else ""
        return f"{error.filename}: {error.strerror}{hint}"
    return "\n".join(map(str, error.args))


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _end(message: str, code: int) -> NoReturn:
    typer.echo(f"airbridge pair: {message}", err=True)
    raise typer.Exit(code)
