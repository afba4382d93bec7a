"""A UDP socket that loses and delays packets as a bad network would. Imports no jax."""

import heapq
import itertools
import random
import socket
import threading
import time

MOST_DELAYED = 512
"""Packets on their way at once; further ones are lost, as in a full router."""

IP_BYTES = 28
"""Heads of IPv4 and UDP around every packet."""


class Link:
    """Sends packets to one address and takes those that come."""

    def __init__(self, host: str = "127.0.0.1", seed: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((host, 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self.loss = self.jitter = 0.0  # share lost, 0 to 1; seconds of delay at most, by chance
        self.packets = self.bytes = 0  # sent, lost ones and heads of IP and UDP included
        self._random, self._number = random.Random(seed), itertools.count()
        self._delayed: list[tuple[float, int, bytes, tuple[str, int]]] = []
        self._lock = threading.Lock()

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        """Sends a packet, at once or later, or loses it."""
        with self._lock:
            self.packets += 1
            self.bytes += len(data) + IP_BYTES
            if self._random.random() < self.loss or len(self._delayed) >= MOST_DELAYED:
                return
            due = time.monotonic() + self._random.uniform(0, self.jitter)
            heapq.heappush(self._delayed, (due, next(self._number), data, address))
        self._flush()

    def receive(self, seconds: float) -> tuple[bytes, tuple[str, int]] | None:
        """Returns the next packet and where it is from; None where none comes in time."""
        self._flush()
        try:
            self._socket.settimeout(max(seconds, 0.001))
            return self._socket.recvfrom(65536)
        except TimeoutError:
            return None
        except ConnectionError:  # nobody listens at the other end just now
            return None
        except OSError:
            if self._socket.fileno() < 0:
                return None  # closed by another thread
            raise

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _flush(self) -> None:
        """Hands the packets that are due to the network."""
        with self._lock:
            while self._delayed and self._delayed[0][0] <= time.monotonic():
                _, _, data, address = heapq.heappop(self._delayed)
                try:
                    self._socket.sendto(data, address)
                except OSError:
                    return  # closed, or the network is down: the packet is lost
