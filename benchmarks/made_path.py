"""A made network path: delay, jitter and loss between this machine and a network namespace.

The far end is a namespace with the one address `far`; packets between it and an address that this
machine has while the path lasts go through two TUN devices that a relay process holds. Each packet
waits for the delay and a random jitter, keeps its place, and may get lost. `tc netem` would do the
same, but is missing in many kernels. Needs Linux, root and `ip`; `missing` says what is not there.
Addresses are of 198.18.0.0/15, set apart for such tests (RFC 2544).
"""

from __future__ import annotations

import argparse
import fcntl
import heapq
import os
import random
import secrets
import select
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MTU = 1400
TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
READY = "up"


def missing() -> str:
    """What this machine lacks for a made path, and how to get it; empty if nothing."""
    if shutil.which("ip") is None:
        return "a made path needs the program ip (Debian: iproute2)"
    if os.geteuid() != 0:
        return "a made path needs root, for a network namespace; run as root"
    try:
        os.close(tun(f"eftry{os.getpid() % 10**6}"))
    except OSError as error:
        return f"a made path needs {TUN} ({error.strerror}); in Docker: --device {TUN} --privileged"
    name = f"everframe-try-{os.getpid()}"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip()
        return f"a made path needs a network namespace ({why}); in Docker: --privileged"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return ""


class MadePath:
    """The path, for `with`. Processes begun by `command` are at its far end."""

    def __init__(
        self, *, delay_ms: float = 20.0, jitter_ms: float = 5.0, loss: float = 0.01, seed: int = 1
    ) -> None:
        """Each way `delay_ms` plus or minus up to `jitter_ms`; `loss` is a share, each way."""
        self._settings = (delay_ms, jitter_ms, loss, seed)
        third, fourth = secrets.randbelow(256), 4 * secrets.randbelow(64)
        self.near, self.far = (f"198.18.{third}.{fourth + end}" for end in (1, 2))
        self._name = f"everframe-{third:02x}{fourth:02x}"
        self._relay: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Make it.

        Raises:
            RuntimeError: the relay did not start; ask `missing` first.
        """
        names = (self._name, self.near, self.far)
        command = [sys.executable, __file__, *names, *map(str, self._settings)]
        self._relay = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._relay.stdout is not None
        if self._relay.stdout.readline().strip() != READY:
            self._end()
            raise RuntimeError("the relay of the made path did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it down; whoever was at the far end is cut off."""
        self._end()

    def command(self, *words: str) -> list[str]:
        """A command line that runs at the far end."""
        return ["ip", "netns", "exec", self._name, *words]

    def lose(self, share: float) -> None:
        """Lose this share of the packets from now on, each way."""
        assert self._relay is not None
        assert self._relay.stdin is not None
        self._relay.stdin.write(f"{share}\n")
        self._relay.stdin.flush()

    def _end(self) -> None:
        assert self._relay is not None
        self._relay.communicate()  # the end of its input ends it


class Relay:
    """Carries packets between two TUN devices, in a process of its own."""

    def __init__(self, devices: tuple[int, int], settings: argparse.Namespace) -> None:
        """Between two open devices."""
        self._devices, self._loss = devices, float(settings.loss)
        self._delay_s, self._jitter_s = settings.delay / 1e3, settings.jitter / 1e3
        self._random = random.Random(settings.seed)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count, self._last = 0, [0.0, 0.0]

    def run(self) -> None:
        """Until standard input ends; a line there is a new share to lose."""
        while True:
            now = time.monotonic()
            pause = max(0.0, self._waiting[0][0] - now) if self._waiting else None
            ready, _, _ = select.select([*self._devices, sys.stdin], [], [], pause)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                self._loss = float(line)
            for side, device in enumerate(self._devices):
                if device in ready:
                    self._take(side)
            self._give()

    def _take(self, side: int) -> None:
        now = time.monotonic()
        try:
            while packet := os.read(self._devices[side], 65536):
                if self._random.random() < self._loss:
                    continue
                wait = self._delay_s + self._random.uniform(-self._jitter_s, self._jitter_s)
                self._last[side] = max(self._last[side], now + wait)  # none overtakes another
                self._count += 1
                heapq.heappush(self._waiting, (self._last[side], self._count, 1 - side, packet))
        except BlockingIOError:
            pass

    def _give(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, side, packet = heapq.heappop(self._waiting)
            try:
                os.write(self._devices[side], packet)
            except OSError:  # the device is not up yet, or full: lost
                continue


def tun(name: str) -> int:
    """A new TUN device; it goes when its descriptor is closed."""
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def set_up(namespace: str, near: str, far: str) -> tuple[int, int]:
    """Devices and addresses; the two descriptors, near and far."""
    suffix = namespace[-4:]
    near_device, far_device = f"efnear{suffix}", f"effar{suffix}"
    devices = tun(near_device), tun(far_device)
    inside = f"ip netns exec {namespace} "
    for line in (
        f"ip link set {far_device} netns {namespace}",
        f"ip addr add {near} peer {far} dev {near_device}",
        f"ip link set {near_device} mtu {MTU} up",
        f"{inside}ip link set lo up",
        f"{inside}ip addr add {far} peer {near} dev {far_device}",
        f"{inside}ip link set {far_device} mtu {MTU} up",
    ):
        subprocess.run(line.split(), check=True, stdin=subprocess.DEVNULL)
    return devices


def main() -> None:
    """The relay process."""
    parser = argparse.ArgumentParser(description="The relay of a made path; started by MadePath.")
    for name in ("namespace", "near", "far"):
        parser.add_argument(name)
    for name in ("delay", "jitter", "loss", "seed"):
        parser.add_argument(name, type=float)
    args = parser.parse_args()
    subprocess.run(["ip", "netns", "add", args.namespace], check=True)
    try:
        relay = Relay(set_up(args.namespace, args.near, args.far), args)
        print(READY, flush=True)
        relay.run()
    finally:
        subprocess.run(["ip", "netns", "delete", args.namespace], check=True)


if __name__ == "__main__":
    main()
