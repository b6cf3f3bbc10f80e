"""Defines the command line of `airbridge doctor`."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from airbridge.demo.options import Address
from airbridge.doctor.bundle import write_bundle
from airbridge.doctor.examine import as_json, examine, report
from airbridge.doctor.facts import InverterPlace, MeterAddress, is_well
from airbridge.doctor.gather import NothingToDo, Requested, gather
from ksem_contract.topics import check_meter
from service_runtime.clock import wall_time
from service_runtime.common_settings import MqttSettings
from service_runtime.version import VERSION

WELL, WRONG, USAGE = 0, 1, 2


def doctor(
    publisher_config: Annotated[
        Path | None, typer.Option(help="Settings of ksem-publisher (default: /etc/ksem-airbridge/publisher.toml).")
    ] = None,
    server_config: Annotated[
        Path | None, typer.Option(help="Settings of rtu-server (default: /etc/ksem-airbridge/rtu-server.toml).")
    ] = None,
    dashboard_config: Annotated[
        Path | None, typer.Option(help="Settings of ksem-dashboard (default: /etc/ksem-airbridge/dashboard.toml).")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Look at this broker, not at the settings' one.")
    ] = None,
    username: Annotated[str | None, typer.Option(help="Name to log in with at --broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password alone, for --broker.")] = None,
    prefix: Annotated[str, typer.Option(help="First part of the topics, for --broker.")] = "ksem",
    meter: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Look at this meter, not at the settings' ones.")
    ] = None,
    inverter: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Read what this inverter believes on its own Modbus port, and compare; takes 20 s.",
        ),
    ] = None,
    inverter_meter: Annotated[str, typer.Option(help="Id of the meter whose values that inverter gets.")] = "main",
    serial: Annotated[
        str | None, typer.Option(metavar="PORT", help="Look at this serial port, not at the settings' ones.")
    ] = None,
    listen: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1.0, help="Listen for the meter's push itself, while no publisher runs."),
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0.5, help="Seconds to wait at most for what both halves report every 10 s.")
    ] = 11.0,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE.tar.gz", help="Also write an archive for a bug report, without secrets."),
    ] = None,
) -> None:
    """Find what is wrong between meter and inverter, and what to do about it.

    It reads the services' settings where they are on this host, and the other half's state from MQTT: run it on either
    host, best with sudo. Without any settings, name what to examine: `--broker`, `--meter`, `--serial`.
    It changes nothing; the services go on running.

    Exit code: 0 all is well, 1 something is wrong, 2 the command line is.
    """
    try:
        for path in (publisher_config, server_config, dashboard_config, password_file):
            if path is not None and not path.exists():
                _refuse(f"{path}: no such file")
        if bundle is not None and bundle.exists():
            _refuse(f"{bundle} is there already: choose another name")
        requested = Requested(
            publisher_config=publisher_config,
            server_config=server_config,
            dashboard_config=dashboard_config,
            broker=_broker(broker, username, password_file, prefix) if broker else None,
            meter=_meter(meter) if meter else None,
            inverter=_inverter(inverter, inverter_meter) if inverter else None,
            serial=serial,
            listen_seconds=listen,
            patience=patience,
        )
        with Console(stderr=True).status("looking at meter, broker and port ..."):
            gathered = gather(requested)
    except (ValueError, OSError) as error:
        _refuse(str(error))
    except NothingToDo:
        _refuse(
            "there are no settings in /etc/ksem-airbridge, and nothing else to look at: "
            "give --publisher-config, --server-config, --dashboard-config, --broker, --meter, --inverter, --serial or "
            "--listen"
        )
    findings = examine(gathered.facts)
    text, listed = report(findings), as_json(findings, VERSION, wall_time())
    if json:
        print(listed)
    else:
        Console().print(text, soft_wrap=True)
    if bundle is not None:
        try:
            write_bundle(bundle, gathered, text.plain, listed)
        except OSError as error:
            _refuse(f"{bundle}: {error.strerror}")
        print(f"{bundle}: written", file=sys.stderr)
    raise typer.Exit(WELL if is_well(findings) else WRONG)


def _broker(place: str, username: str | None, password_file: Path | None, prefix: str) -> MqttSettings:
    where = Address.parse(place, 1883)
    password = password_file.read_text(encoding="utf-8").rstrip("\r\n") if password_file else None
    return MqttSettings(host=where.host, port=where.port, username=username, password=password, prefix=prefix)


def _meter(place: str) -> MeterAddress:
    where = Address.parse(place, 502)
    return MeterAddress("meter", where.host, where.port, tls=where.port == 802)


def _inverter(place: str, meter: str) -> InverterPlace:
    where = Address.parse(place, 1502)
    return InverterPlace(where.host, where.port, meter=check_meter(meter))


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(USAGE)
