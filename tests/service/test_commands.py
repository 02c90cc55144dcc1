"""The gateway's socket."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from service.commands import _listen
from service.settings import Settings


def test_the_last_part_of_a_response_does_not_wait_for_the_clients_acknowledgement(tmp_path: Path) -> None:
    """Otherwise each response takes 40 ms more."""

    async def waits(listener: socket.socket) -> bool:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            seen.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            no_delay = await seen
            writer.close()
            await writer.wait_closed()
        return not no_delay

    with _listen(Settings(data_dir=tmp_path, port=0)) as listener:
        assert not asyncio.run(waits(listener))
