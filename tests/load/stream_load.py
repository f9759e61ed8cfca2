#!/usr/bin/env python3
"""Many streams of the OpenAI API at once, read by one process.

Usage: stream_load.py --address HOST:PORT [--streams 1000] [--tokens 16]
                      [--slow 0] [--idle 0] [--pid PID]

Opens all connections, then sends all requests, and reads each answer to its
end. `--slow` further streams are opened and never read, `--idle` connections
send half a header and stop. Prints how many streams were whole, and the times
to the first byte and to the end; with `--pid`, by how much the memory of that
process rose. Fails when a stream was not whole.
"""

import argparse
import asyncio
import json
import socket
import sys
import time

WAIT_SECONDS = 600


def request(address, tokens):
    body = json.dumps({
        "messages": [{"role": "user", "content": "Tell me a story."}],
        "temperature": 1.0, "max_tokens": tokens, "ignore_eos": True,
        "stream": True, "stream_options": {"include_usage": True}}).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


async def read_stream(reader, writer, data, tokens):
    """(seconds to the first byte, seconds to the end) of a whole stream."""
    began = time.monotonic()
    writer.write(data)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    first = time.monotonic() - began
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(head.split(b"\r\n", 1)[0].decode())
    text = await reader.read()
    writer.close()
    ended = time.monotonic() - began
    if b"data: [DONE]" not in text:
        raise RuntimeError("the stream broke off")
    usage = None
    for line in text.split(b"\n"):
        if line.startswith(b"data: {"):
            usage = json.loads(line[6:]).get("usage") or usage
    if usage is None or usage["completion_tokens"] != tokens:
        raise RuntimeError(f"tokens are missing: {usage}")
    return first, ended


def open_slow(address, data):
    """A stream whose reader never reads."""
    host, port = address.rsplit(":", 1)
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect((host, int(port)))
    peer.sendall(data)
    return peer


def memory(pid):
    """Bytes of a process that no file backs."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


async def watch_memory(pid, peak):
    while True:
        peak[0] = max(peak[0], memory(pid))
        await asyncio.sleep(0.2)


async def load(flags):
    host, port = flags.address.rsplit(":", 1)
    slow = [open_slow(flags.address, request(flags.address, 10000))
            for _ in range(flags.slow)]
    idle = [open_slow(flags.address, b"POST /v1/chat/completions HTTP/1.1\r\n")
            for _ in range(flags.idle)]
    connections = []
    for _ in range(flags.streams):
        connections.append(await asyncio.wait_for(
            asyncio.open_connection(host, int(port), limit=1 << 20), 60))
    data = request(flags.address, flags.tokens)
    peak = [0]
    watcher = None
    if flags.pid:
        before = memory(flags.pid)
        watcher = asyncio.create_task(watch_memory(flags.pid, peak))
    results = await asyncio.gather(*(
        asyncio.wait_for(read_stream(reader, writer, data, flags.tokens),
                         WAIT_SECONDS)
        for reader, writer in connections), return_exceptions=True)
    if watcher is not None:
        watcher.cancel()
        rose = max(peak[0] - before, 0)
        print(f"memory: {before >> 20} MiB with the connections open, "
              f"{rose / flags.streams / 1024:.1f} KiB more a stream at the most")
    for peer in slow + idle:
        peer.close()
    return results


def run(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--slow", type=int, default=0)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--pid", type=int, default=0)
    flags = parser.parse_args(argv)
    began = time.monotonic()
    results = asyncio.run(load(flags))
    seconds = time.monotonic() - began
    failed = [one for one in results if isinstance(one, BaseException)]
    whole = [one for one in results if not isinstance(one, BaseException)]
    print(f"{len(whole)} of {flags.streams} streams whole, {seconds:.1f} s")
    for name, values in (("first byte", sorted(one[0] for one in whole)),
                         ("end", sorted(one[1] for one in whole))):
        if values:
            print(f"{name}: median {values[len(values) // 2]:.2f} s, "
                  f"99 % {values[len(values) * 99 // 100]:.2f} s, "
                  f"last {values[-1]:.2f} s")
    for one in failed[:3]:
        print(f"failed: {one!r}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
