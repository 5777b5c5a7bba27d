"""The part of the application that holds streams: an echo over WebSocket, and one over gRPC.

A stream may not become old: after some seconds it is told ``move``, and its client is to end it and to open
another one. So a gateway can leave: it waits as long as the oldest stream may last. Who does not obey is
ended by force, with WebSocket's close code 1012 or gRPC's UNAVAILABLE.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from upgrader.lab.programs._echo_places import GRPC_PORT, METHOD, SERVICE, WEBSOCKET_PORT
from upgrader.lab.traffic.lanes import MOVE

_SERVICE_RESTART = 1012
"""WebSocket close code. Source: IANA's registry, 2026-11."""


@dataclass(frozen=True, slots=True)
class Echo:
    """How old streams may become.

    Args:
        age_seconds: After so long they are told to move.
        grace_seconds: After so long again they are ended.
    """

    age_seconds: float
    grace_seconds: float

    async def on_websocket(self, socket: ServerConnection) -> None:
        """Echo each message of a WebSocket."""

        async def talk() -> None:
            async for message in socket:
                await socket.send(message)

        with contextlib.suppress(ConnectionClosed):
            if not await self._is_over(talk(), socket.send):
                await socket.close(_SERVICE_RESTART, "move")

    async def on_grpc(self, _requests: object, context: Any) -> None:
        """Echo each message of a call."""
        one_at_a_time = asyncio.Lock()

        async def send(message: bytes) -> None:
            async with one_at_a_time:
                await context.write(message)

        async def talk() -> None:
            while (message := await context.read()) is not grpc.aio.EOF:
                await send(message)

        await context.send_initial_metadata(())
        if not await self._is_over(talk(), send):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "move")

    async def _is_over(self, talk: Awaitable[None], send: Callable[[bytes], Awaitable[None]]) -> bool:
        """Let a stream talk; tell it to move when it is old, and say whether it ended by itself."""
        talking = asyncio.ensure_future(talk)
        try:
            done, _ = await asyncio.wait({talking}, timeout=self.age_seconds)
            if not done:
                await send(MOVE)
                done, _ = await asyncio.wait({talking}, timeout=self.grace_seconds)
        finally:
            talking.cancel()
        if done:
            talking.result()
        return bool(done)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the process with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="echo", description=__doc__)
    parser.add_argument("--listen", default="0.0.0.0", help="address (default all)")
    parser.add_argument("--websocket-port", type=int, default=WEBSOCKET_PORT)
    parser.add_argument("--grpc-port", type=int, default=GRPC_PORT)
    parser.add_argument("--age", type=float, default=1.5, help="seconds until a stream is told to move")
    parser.add_argument("--grace", type=float, default=1.0, help="seconds until it is ended then")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    echo = Echo(options.age, options.grace)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = grpc.aio.server()
    methods = {METHOD: grpc.stream_stream_rpc_method_handler(echo.on_grpc)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(f"{options.listen}:{options.grpc_port}")
    listen = options.listen, options.websocket_port
    async with serve(echo.on_websocket, *listen, compression=None, ping_interval=None):
        await server.start()  # the last: the demo's chart takes it as ready then
        sys.stdout.write(f"echo on ports {options.websocket_port} (WebSocket), {options.grpc_port} (gRPC)\n")
        sys.stdout.flush()
        await stopped.wait()
        await server.stop(options.grace)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    asyncio.run(run(parse(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
