"""The messages of the protocol, made from its compiled description in a pool of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["HEALTH", "INFERENCE", "Message", "Messages", "Method"]

HEALTH = "grpc.health.v1.Health"
INFERENCE = "inference.GRPCInferenceService"

Message: TypeAlias = Any
"""A message or its class: made at run time, so that no type checker knows it."""


class Method(NamedTuple):
    """One call: its name, and the classes of what goes in and what comes out."""

    name: str
    request: Message
    response: Message
    is_stream: bool


class Messages:
    """The classes of all messages.

    Guarantees: nothing is registered in the process's default pool, so that the clients of Triton
    and KServe, which both claim these names there, load in the same process as kilter.
    """

    def __init__(self) -> None:
        self._pool = DescriptorPool()
        compiled = Path(__file__).with_name("protocol.binpb").read_bytes()
        for file in FileDescriptorSet.FromString(compiled).file:
            self._pool.Add(file)

    def of(self, name: str) -> Message:
        """Return the class of a message by its full name, such as ``inference.ModelInferRequest``.

        Raises
        ------
        KeyError
            If there is no such message.
        """
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def methods(self) -> dict[str, Method]:
        """Return all calls by their path, such as ``/inference.GRPCInferenceService/ModelInfer``."""
        found = {}
        for service in (self._pool.FindServiceByName(INFERENCE), self._pool.FindServiceByName(HEALTH)):
            for method in service.methods:
                found[f"/{service.full_name}/{method.name}"] = Method(
                    method.name,
                    GetMessageClass(method.input_type),
                    GetMessageClass(method.output_type),
                    method.client_streaming or method.server_streaming,
                )
        return found
