"""A CA with a server and a client certificate for tests, made by openssl as mosquitto-tls(7) tells."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(
    folder: Path, *, server_names: str = "DNS:localhost,IP:127.0.0.1", days: int = 30
) -> Certificates:
    """Fresh files in `folder`; the server's certificate is for `server_names`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    _openssl("req", "-x509", *_new_key(ca_key), "-subj", "/CN=test CA", "-days", "30", "-out", str(ca))
    made = []
    for role, extension in (("server", f"subjectAltName={server_names}"), ("client", "extendedKeyUsage=clientAuth")):
        key, request, certificate, ext = (folder / f"{role}.{end}" for end in ("key", "csr", "crt", "ext"))
        ext.write_text(extension + "\n")
        _openssl("req", *_new_key(key), "-subj", f"/CN={role}", "-out", str(request))
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial"),
            *("-days", str(days), "-extfile", str(ext), "-out", str(certificate)),
        )
        made += [certificate, key]
    return Certificates(ca, *made)


def _new_key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(path)]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
