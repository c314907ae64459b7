"""ASF (WMV): a header that states the size of the file and the number of its packets."""

from __future__ import annotations

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_BROADCAST = 1  # a flag: numbers are not known


def check(data: FileBytes) -> None:
    """Check that the objects are complete, and that packets are as many as announced.

    Raises:
        FaultError: they are not.
    """
    header_size, num_packets, packet_size = data.small_number(16, 8), 0, 0
    at = 30
    while at < header_size:
        name, size = _object(data, at)
        if name == _FILE_PROPERTIES:
            facts = data.take(at, 104)
            if facts[88] & _BROADCAST:
                return
            if int.from_bytes(facts[40:48], "little") > data.size:
                raise FaultError("it is cut off: it is shorter than it claims")
            num_packets = int.from_bytes(facts[56:64], "little")
            packet_size = int.from_bytes(facts[92:96], "little")
        at += size
    at = header_size
    while at < data.size:
        name, size = _object(data, at)
        if name == _DATA and num_packets:
            stated = data.small_number(at + 40, 8)
            if stated not in (0, num_packets) or size not in (0, 50 + num_packets * packet_size):
                raise FaultError("it has another number of packets than it claims")
        at += size


def _object(data: FileBytes, at: int) -> tuple[bytes, int]:
    """Name and size of the object at a place."""
    head = data.take(at, 24)
    size = int.from_bytes(head[16:], "little")
    if size < 24:
        raise FaultError("the size of an object is wrong")
    if at + size > data.size:
        raise FaultError("it is cut off")
    return head[:16], size
