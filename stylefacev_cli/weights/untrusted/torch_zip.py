"""Files of `torch.save` since 1.6, a zip: described by its pickle, loaded from its members.

NAME/data.pkl     values, and tensors as views of storages
NAME/data/KEY     the numbers of a storage
NAME/byteorder    their order, where it is told
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from zipfile import ZipInfo

from stylefacev_cli.common.untrusted.archives import (
    checked_bytes,
    member_bytes,
    open_archive,
    stored_piece,
)
from stylefacev_cli.common.untrusted.pieces import Piece, piece_of
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.weights.untrusted.pickle_values import MAX_STEPS, shown
from stylefacev_cli.weights.untrusted.reader import read_torch_pickle
from stylefacev_cli.weights.untrusted.stored_tensor import ITEM_BYTES

MAX_TENSORS = 10_000  # the largest known network has some 1,500
_SMALL_BYTES = 2**16  # of what torch notes beside the numbers: versions, alignment, an identity
_MAX_PICKLE_BYTES = 2**24  # of data.pkl, which holds no numbers; 10,000 tensors need 2 MB


def read_torch_zip(
    path: Path,
    content: Piece,
    *,
    max_entries: int = MAX_TENSORS + 16,
    max_steps: int = MAX_STEPS,
) -> object:
    """What `torch.save` wrote as a zip: plain values and `StoredTensor`, ready to be loaded.

    Args:
        path: the file, for messages.
        content: its bytes, or those of the zip in it.
        max_entries: members of the zip, one a storage.
        max_steps: of its pickle.

    Raises:
        IntegrityError: it is damaged, or no such zip.
        PickleRefused: it wants something that is not on the list.
    """
    num_bytes = len(content)
    with open_archive(path, content, max_entries=max_entries, max_bytes=num_bytes) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise IntegrityError(
                f"{path} is a zip, but not of torch weights; "
                "give a zip with several files of weights as --archive"
            )
        folder = pickles[0].removesuffix("data.pkl")
        if any(name.startswith(f"{folder}code/") for name in members):
            raise IntegrityError(f"{path} is refused: it is TorchScript, which holds code")

        def data_of(name: str, max_bytes: int) -> Callable[[], bytearray]:
            """Reads a member; one that is packed is unpacked now, while the zip is open."""
            stored = stored_piece(content, members[name], str(path))
            if stored is None:
                unpacked = bytearray(member_bytes(archive, name, max_bytes))
                return lambda: bytearray(unpacked)
            return lambda: checked_bytes(stored, members[name], str(path))

        if members[pickles[0]].file_size > _MAX_PICKLE_BYTES:
            raise IntegrityError(f"{path} is refused: its data.pkl is larger than any")
        pickled = data_of(pickles[0], _MAX_PICKLE_BYTES)()
        described, storages = read_torch_pickle(piece_of(pickled), max_steps)
        swapped = _is_big_endian(path, members, folder, data_of)
        for name in sorted(members.keys() - {pickles[0]}):
            if not name.startswith(f"{folder}data/") and members[name].file_size <= _SMALL_BYTES:
                data_of(name, _SMALL_BYTES)()  # is not used, but a damaged one says: damaged file
        for key, storage in storages.items():
            name = f"{folder}data/{key}"
            if name not in members or members[name].file_size != storage.num_bytes:
                raise IntegrityError(
                    f"{path} is damaged: its storage {shown(key, 40)!r} has not the announced "
                    f"{storage.num_bytes} bytes; fetch it again"
                )
            read = data_of(name, num_bytes)
            storage.read = _swapping(read, ITEM_BYTES[storage.dtype]) if swapped else read
    return described


def _is_big_endian(
    path: Path,
    members: Mapping[str, ZipInfo],
    folder: str,
    data_of: Callable[[str, int], Callable[[], bytearray]],
) -> bool:
    """Whether the numbers were written by a machine with the other order of bytes."""
    name = f"{folder}byteorder"
    if name not in members:
        return False
    order = data_of(name, 16)() if members[name].file_size <= 16 else b""
    if order not in (b"little", b"big"):
        raise IntegrityError(f"{path} is damaged: its order of bytes is unknown; fetch it again")
    return order == b"big"


def _swapping(read: Callable[[], bytearray], item_bytes: int) -> Callable[[], bytearray]:
    """Reads numbers of the other order of bytes."""

    def swapped() -> bytearray:
        data = read()
        turned = bytearray(len(data))
        for at in range(item_bytes):
            turned[at::item_bytes] = data[item_bytes - 1 - at :: item_bytes]
        return turned

    return swapped
