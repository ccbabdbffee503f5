"""Claims about the messages: what the readable file says is what is spoken, and nobody else is disturbed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.protobuf import descriptor_pb2

import kilter.faces.serving.grpc as package
from kilter.faces.serving.grpc.messages import Messages

FOLDER = Path(package.__file__).parent
_SCALARS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}
_TOKEN = re.compile(r"[A-Za-z_][\w.]*|\d+|\"[^\"]*\"|[{}=;<>,()]")


class _Reader:
    """Reads the subset of the language in which the two files are written, into plain facts."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = _TOKEN.findall(re.sub(r"//.*", "", text))
        self.facts: set[tuple[object, ...]] = set()
        self.package = ""

    def take(self, *expected: str) -> str:
        token = self._tokens.pop(0)
        assert not expected or token in expected, (token, expected)
        return token

    def read(self) -> set[tuple[object, ...]]:
        while self._tokens:
            match self.take():
                case "syntax":
                    self.take("="), self.take('"proto3"'), self.take(";")
                case "package":
                    self.package = self.take()
                    self.take(";")
                case "service":
                    self._service(f"{self.package}.{self.take()}")
                case "message":
                    self._message(f"{self.package}.{self.take()}")
                case "enum":
                    self._enum(f"{self.package}.{self.take()}")
                case other:
                    pytest.fail(other)
        return self.facts

    def _service(self, name: str) -> None:
        self.take("{")
        while self.take("rpc", "}") == "rpc":
            method = self.take()
            goes_in = self._side()
            self.take("returns")
            self.facts.add(("rpc", name, method, goes_in, self._side()))
            self.take(";")

    def _side(self) -> tuple[str, bool]:
        self.take("(")
        first = self.take()
        name = self.take() if first == "stream" else first
        self.take(")")
        return name, first == "stream"

    def _enum(self, name: str) -> None:
        self.take("{")
        while (label := self.take()) != "}":
            self.take("=")
            self.facts.add(("value", name, label, int(self.take())))
            self.take(";")

    def _message(self, name: str, oneof: str = "") -> None:
        self.take("{")
        if not oneof:
            self.facts.add(("message", name))
        while (word := self.take()) != "}":
            if word == "message":
                self._message(f"{name}.{self.take()}")
            elif word == "enum":
                self._enum(f"{name}.{self.take()}")
            elif word == "oneof":
                self._message(name, self.take())
            else:
                kind = f"map<{self._map()}>" if word == "map" else self.take() if word == "repeated" else word
                field = self.take()
                self.take("=")
                number = int(self.take())
                self.take(";")
                self.facts.add(("field", name, field, number, kind, word == "repeated", oneof))

    def _map(self) -> str:
        self.take("<")
        key = self.take()
        self.take(",")
        value = self.take()
        self.take(">")
        return f"{key},{value}"


class _Compiled:
    """Reads the same facts from the compiled description."""

    _named: ClassVar[dict[int, str]] = {number: name for name, number in _SCALARS.items()}

    def __init__(self, data: bytes) -> None:
        self.facts: set[tuple[object, ...]] = set()
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            for message in file.message_type:
                self._message(file.package, message)
            for enum in file.enum_type:
                self._enum(file.package, enum)
            for service in file.service:
                self.facts.update(self._rpc(f"{file.package}.{service.name}", method) for method in service.method)

    @staticmethod
    def _rpc(service: str, rpc: Any) -> tuple[object, ...]:  # noqa: ANN401 - a description
        goes_in = (rpc.input_type.rpartition(".")[2], rpc.client_streaming)
        return "rpc", service, rpc.name, goes_in, (rpc.output_type.rpartition(".")[2], rpc.server_streaming)

    def _enum(self, prefix: str, one: Any) -> None:  # noqa: ANN401 - a description
        self.facts.update(("value", f"{prefix}.{one.name}", value.name, value.number) for value in one.value)

    def _message(self, prefix: str, one: Any) -> None:  # noqa: ANN401 - a description
        name = f"{prefix}.{one.name}"
        self.facts.add(("message", name))
        maps = {nested.name: nested for nested in one.nested_type if nested.options.map_entry}
        for field in one.field:
            entry = maps.get(field.type_name.rpartition(".")[2])
            kind = self._kind(field) if entry is None else f"map<{','.join(map(self._kind, entry.field))}>"
            is_repeated = field.label == field.LABEL_REPEATED and entry is None
            oneof = one.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
            self.facts.add(("field", name, field.name, field.number, kind, is_repeated, oneof))
        for nested in one.nested_type:
            if nested.name not in maps:
                self._message(name, nested)
        for each in one.enum_type:
            self._enum(name, each)

    def _kind(self, field: Any) -> str:  # noqa: ANN401 - a description
        return self._named[field.type] if field.type in self._named else str(field.type_name).rpartition(".")[2]


def test_the_readable_files_and_the_compiled_description_say_the_same() -> None:
    written = {
        fact for name in ("inference", "health") for fact in _Reader((FOLDER / f"{name}.proto").read_text()).read()
    }
    compiled = _Compiled((FOLDER / "protocol.binpb").read_bytes()).facts
    assert written - compiled == set()
    assert compiled - written == set()
    assert len(written) > 150


def test_the_numbers_of_the_protocol() -> None:
    # From Triton's grpc_service.proto and KServe's open_inference_grpc.proto: what clients in the field send.
    request = Messages().of("inference.ModelInferRequest").DESCRIPTOR
    assert {field.name: field.number for field in request.fields} == {
        "model_name": 1,
        "model_version": 2,
        "id": 3,
        "parameters": 4,
        "inputs": 5,
        "outputs": 6,
        "raw_input_contents": 7,
    }
    contents = Messages().of("inference.InferTensorContents").DESCRIPTOR
    assert [field.number for field in contents.fields] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert Messages().of("inference.ModelInferResponse").DESCRIPTOR.fields_by_name["raw_output_contents"].number == 6


def test_two_pools_do_not_share_their_classes() -> None:
    assert Messages().of("inference.ServerLiveRequest") is not Messages().of("inference.ServerLiveRequest")


_CLASH = """
import sys
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
def others():
    file = descriptor_pb2.FileDescriptorProto(name="grpc_service.proto", package="inference", syntax="proto3")
    message = file.message_type.add(name="ServerLiveRequest")
    message.field.add(name="theirs", number=9, type=9, label=1)
    health = descriptor_pb2.FileDescriptorProto(name="h.proto", package="grpc.health.v1", syntax="proto3")
    health.message_type.add(name="HealthCheckRequest")
    for one in (file, health):
        descriptor_pool.Default().Add(one)
    found = descriptor_pool.Default().FindMessageTypeByName("inference.ServerLiveRequest")
    message_factory.GetMessageClass(found)(theirs="x")
def ours():
    import kilter.faces.serving.grpc.adapter, kilter.faces.serving.grpc.service
    from kilter.faces.serving.grpc.messages import Messages
    assert not Messages().of("inference.ServerLiveRequest").DESCRIPTOR.fields
for name in sys.argv[1:]:
    globals()[name]()
"""


@pytest.mark.parametrize("order", [("others", "ours"), ("ours", "others")], ids=" then ".join)
def test_another_client_may_claim_the_same_names_in_the_same_process(order: tuple[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", _CLASH, *order], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_registered_in_the_pool_that_everybody_shares() -> None:
    code = (
        "import kilter.faces.serving.grpc.service, kilter.faces.serving.grpc.messages as m; m.Messages()\n"
        "from google.protobuf import descriptor_pool\n"
        "try: descriptor_pool.Default().FindMessageTypeByName('inference.ModelInferRequest')\n"
        "except KeyError: print('free')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "free"
