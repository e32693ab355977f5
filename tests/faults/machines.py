"""Machines that are not there: network namespaces on a bridge of this one, each with its own address and ports."""

import secrets
import subprocess


class Machines:
    """A few of them; a context manager. Needs root.

    Attributes:
        here: this machine's own address among them.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._name = f"am{secrets.token_hex(2)}"
        self._subnet = f"198.18.{secrets.randbelow(256)}"  # of the block that is kept for tests of networks
        self._count = count
        self.here = f"{self._subnet}.1"

    def address(self, number: int) -> str:
        return f"{self._subnet}.{10 + number}"

    def on(self, number: int, *command: str) -> list[str]:
        """A command as it is run on one of them."""
        return ["nsenter", f"--net=/var/run/netns/{self._namespace(number)}", *command]

    def unplug(self, number: int) -> None:
        """What it sends goes nowhere, and nothing reaches it."""
        _run("ip", "link", "set", self._cable(number), "down")

    def plug_in(self, number: int) -> None:
        _run("ip", "link", "set", self._cable(number), "up")

    def __enter__(self) -> "Machines":
        try:
            _run("ip", "link", "add", self._name, "type", "bridge")
            _run("ip", "address", "add", f"{self.here}/24", "dev", self._name)
            _run("ip", "link", "set", self._name, "up")
            for number in range(self._count):
                self._add(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in range(self._count):
            subprocess.run(["ip", "netns", "delete", self._namespace(number)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self._name], capture_output=True, check=False)

    def _add(self, number: int) -> None:
        namespace, cable = self._namespace(number), self._cable(number)
        _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "link", "set", cable, "master", self._name, "up")
        _run(*self.on(number, "ip", "address", "add", f"{self.address(number)}/24", "dev", "eth0"))
        _run(*self.on(number, "ip", "link", "set", "eth0", "up"))
        _run(*self.on(number, "ip", "link", "set", "lo", "up"))
        _run(*self.on(number, "ip", "route", "add", "default", "via", self.here))

    def _namespace(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _cable(self, number: int) -> str:
        return f"{self._name}v{number}"


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
