#!/usr/bin/env python3
"""A conversation with a Facet server over gRPC, by code that protoc generates.

Usage: facet_chat.py [--server HOST:PORT] [--think] [--ca FILE] MESSAGE

Prints thoughts and calls to stderr, the answer to stdout, both as they come.
FACET_API_KEY is the server's key, where it wants one. README.md beside this
file says how the generated code is made.
"""

import argparse
import os
import sys

import grpc

from rpc.proto import error_details_pb2, inference_pb2, inference_pb2_grpc


def connect(server, ca=None):
    if ca is None:
        return grpc.insecure_channel(server)
    with open(ca, "rb") as file:
        return grpc.secure_channel(server,
                                   grpc.ssl_channel_credentials(file.read()))


def metadata():
    key = os.environ.get("FACET_API_KEY")
    return [("authorization", f"Bearer {key}")] if key else []


def details(error):
    """What an error says beside its message, by the type's last word."""
    known = {"BadRequest": error_details_pb2.BadRequest,
             "RetryInfo": error_details_pb2.RetryInfo,
             "ErrorInfo": error_details_pb2.ErrorInfo}
    status = error_details_pb2.RpcStatus()
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    found = {}
    for detail in status.details:
        name = detail.type_url.rsplit(".", 1)[-1]
        if name in known:
            found[name] = known[name].FromString(detail.value)
    return found


def chat(stub, messages, tools=(), timeout=600, **options):
    """Yields the events of one answer; see ChatEvent."""
    request = inference_pb2.ChatRequest(
        messages=messages, tools=tools,
        options=inference_pb2.GenerateRequest(**options))
    for response in stub.Chat(request, timeout=timeout, metadata=metadata()):
        yield from response.events


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("message")
    parser.add_argument("--server", default="127.0.0.1:8001")
    parser.add_argument("--think", action="store_true")
    parser.add_argument("--ca")
    flags = parser.parse_args()
    message = inference_pb2.ChatMessage(role=inference_pb2.CHAT_ROLE_USER,
                                        content=flags.message)
    with connect(flags.server, flags.ca) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        try:
            for event in chat(stub, [message], enable_thinking=flags.think):
                kind = event.WhichOneof("kind")
                if kind == "content":
                    print(event.content, end="", flush=True)
                elif kind == "thought":
                    print(event.thought, end="", file=sys.stderr, flush=True)
                elif kind == "call_begin":
                    print(f"\n{event.call_begin.name} ", end="",
                          file=sys.stderr)
                elif kind == "call_arguments":
                    print(event.call_arguments.json, end="", file=sys.stderr)
        except grpc.RpcError as error:
            said = details(error)
            where = [one.field for one in
                     said.get("BadRequest",
                              error_details_pb2.BadRequest()).field_violations]
            print(f"{error.code().name}: {error.details()}"
                  f"{' at ' + ', '.join(where) if where else ''}",
                  file=sys.stderr)
            return 1
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
