"""Asks grpc.health.v1.Health/Check as the kubelet does: plain HTTP/2, no TLS,
one call a connection. Nothing but the standard library."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
SERVING = 1


def _frame(kind, flags, stream, payload):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def _header(name, value):
    """A literal without indexing and without Huffman coding (RFC 7541)."""
    return bytes([0, len(name)]) + name.encode() + bytes(
        [len(value)]) + value.encode()


def _request(address, service):
    headers = b"".join(_header(*one) for one in (
        (":method", "POST"), (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"), (":authority", address),
        ("content-type", "application/grpc"), ("te", "trailers")))
    message = (b"\x0a" + bytes([len(service)]) + service.encode()
               if service else b"")
    body = b"\x00" + struct.pack(">I", len(message)) + message
    return (PREFACE + _frame(SETTINGS, 0, 0, b"") +
            _frame(HEADERS, END_HEADERS, 1, headers) +
            _frame(DATA, END_STREAM, 1, body))


def _exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OSError("the server closed the connection")
        data += more
    return data


def is_serving(host, port, service, timeout):
    """Whether `service` is SERVING. False for NOT_SERVING, for an unknown name,
    and where nobody listens or answers in `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(_request(f"{host}:{port}", service))
            body = b""
            while True:
                head = _exactly(connection, 9)
                size = int.from_bytes(head[:3], "big")
                kind, flags = head[3], head[4]
                payload = _exactly(connection, size)
                if kind == SETTINGS and not flags & ACK:
                    connection.sendall(_frame(SETTINGS, ACK, 0, b""))
                elif kind == PING and not flags & ACK:
                    connection.sendall(_frame(PING, ACK, 0, payload))
                elif kind == DATA:
                    body += payload
                elif kind == GOAWAY:
                    return False
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    # 5 bytes of frame, then field 1, the status.
                    return body[5:] == bytes([8, SERVING])
    except OSError:
        return False
