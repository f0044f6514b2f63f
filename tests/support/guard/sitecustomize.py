"""Loaded by every Python process that has this folder on PYTHONPATH: what reaches for another host is written down and refused.

The file is named by EGRESS_LOG. Audit events come from CPython's own socket module, so no library in Python goes round them.
"""

import ipaddress
import os
import sys

NAMES = ("localhost", "ip6-localhost", "")
LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
MESSAGES = ("socket.connect", "socket.sendto", "socket.sendmsg")


def _is_own(host: object) -> bool:
    """Whether a host is this machine; what is no name (a socket of the file system, a network link) leaves it neither."""
    if isinstance(host, bytes | bytearray):
        host = host.decode("latin-1")
    if not isinstance(host, str) or host in NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch(event: str, arguments: tuple) -> None:
    if event in LOOK_UPS:
        host = arguments[0]
    elif event in MESSAGES:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    else:
        return
    if not _is_own(host):
        with open(os.environ["EGRESS_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{event} {host} by {' '.join(sys.argv)}\n")
        raise PermissionError(f"{event} {host}: no process of these tests may leave the machine")


if "EGRESS_LOG" in os.environ:
    sys.addaudithook(_watch)
