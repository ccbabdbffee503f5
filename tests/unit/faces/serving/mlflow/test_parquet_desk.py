"""Claims about Parquet bodies as an acceptor reads them: in another process, which may die of it."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import InputError, InvalidRequest, Overloaded, SchemaMismatch, TooLarge
from kilter.faces.serving.mlflow.frame import FrameReader
from kilter.faces.serving.mlflow.parquet import read_parquet
from kilter.faces.serving.mlflow.parquet_desk import ParquetDesk
from kilter.testing.plane import MIXED

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.contracts.batch import Batch

Plane = Any  # the fixture's class lives in conftest.py, which cannot be imported

_MEDIA = "application/vnd.apache.parquet"
_ONE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="x", type=ColumnType.INTEGER, nullable=True),))
_ROWS: dict[str, Any] = {
    "region": ["north", None, "north"],
    "age": [40.0, 1e300, -0.0],
    "visits": [3, -7, 0],
    "is member": [True, False, True],
    "plan": ["basic", "", "größer"],
    "income": [None, 2.5, float("nan")],
}

# One column of two integers with one byte changed: Arrow ends its process at it.
_KILLER = base64.b85decode(
    b"P(e~L6#x}16)Y?j1Qh@k1{DSz7zhFY00000000;W0RR9100000762#+0ssI2000007zhCX00000000pY00002000040RaF200000"
    b"00IC20000002KroEHwZa26JO*Wo=;<0ss{RCIT1%cmNgz85|iLCIB221Q{g;02vqocohH^1Qx0R7ODXz2s{`F0ssI2000007zhCX"
    b"00000000&MC<p=o00000000;W0RR91000005fK0x92Ec+02KlNJShelCIAEg000)M0Tu)%2o|aV04N}EVRCVGWppiLaBwYQa&m8X"
    b"Aa-SPb7^mGATl;CFfK6}92@`u0IUE208l|vF#"
)


def _file(columns: dict[str, Any], **options: Any) -> bytes:  # noqa: ANN401 - the writer's
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def _read(
    body: bytes, signature: Signature = MIXED, *, desk: ParquetDesk | None = None, max_rows: int = 2_000
) -> Batch:
    async def ask() -> Batch:
        return await (desk or ParquetDesk()).read(FrameReader(signature, max_rows=max_rows), body)

    return asyncio.run(ask())


def _desk(code: str) -> ParquetDesk:
    return ParquetDesk((sys.executable, "-c", code))


def test_the_other_process_reads_what_this_one_would() -> None:
    body = _file(_ROWS)
    here, there = read_parquet(FrameReader(MIXED, max_rows=2_000), body), _read(body)
    assert there.rows == 3
    np.testing.assert_array_equal(np.asarray(there.numeric), np.asarray(here.numeric))
    assert np.asarray(there.text).tolist() == np.asarray(here.text).tolist()


def test_signatures_without_text_or_without_numbers_are_read() -> None:
    assert np.asarray(_read(_file({"x": [1, None]}), _ONE).numeric)[0].tolist() == [1.0]
    words = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="w", type=ColumnType.TEXT),))
    batch = _read(_file({"w": ["a", "b"]}), words)
    assert (batch.rows, np.asarray(batch.numeric).shape, np.asarray(batch.text).tolist()) == (2, (2, 0), [["a"], ["b"]])


@pytest.mark.parametrize(
    ("columns", "kind", "part"),
    [
        ({**_ROWS, "plan": ["a", None, "b"]}, InvalidRequest, r"parquet\[1\].plan: expected text, got null"),
        ({**_ROWS, "agee": [1, 2, 3]}, SchemaMismatch, "parquet.agee: unknown column"),
        ({name: cells * 1_000 for name, cells in _ROWS.items()}, InvalidRequest, "at most 2000 rows, got 3000"),
        ({**_ROWS, "plan": ["x" * 2**20] * 3}, None, ""),
        (
            {name: (cells * 700)[:2_000] for name, cells in _ROWS.items()} | {"plan": ["x" * 99_999] * 2_000},
            TooLarge,
            "unpacks to more than",
        ),
    ],
)
def test_errors_come_back_as_they_are(columns: dict[str, Any], kind: type[InputError] | None, part: str) -> None:
    body = _file(columns, compression="zstd")
    if kind is None:
        assert np.asarray(_read(body).text)[2, 0] == "x" * 2**20
        return
    with pytest.raises(kind, match=part) as there:
        _read(body)
    with pytest.raises(kind) as here:
        read_parquet(FrameReader(MIXED, max_rows=2_000), body)
    got, expected = there.value, here.value
    assert (got.message, got.where, got.hint, got.details) == (
        expected.message,
        expected.where,
        expected.hint,
        expected.details,
    )


def test_a_file_that_kills_its_reader_is_refused_and_the_next_is_read(plane: Plane) -> None:
    answer = plane("/invocations/one", _KILLER, _MEDIA)
    assert (answer.status, answer.json["error_code"]) == (400, "BAD_REQUEST")
    assert "not a Parquet file that can be read" in answer.json["message"]
    assert plane("/invocations/one", _file({"x": [1, 2]}), _MEDIA).json == {"predictions": [1.0, 2.0]}


def test_a_damaged_file_is_refused_or_read() -> None:
    rng = random.Random(3)  # noqa: S311 - damage, not secrets
    bodies = [_file(_ROWS, compression="zstd"), _file(_ROWS, compression="none", use_dictionary=False)]

    def damaged() -> bytes:
        body = bytearray(rng.choice(bodies))
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(4, len(body))] ^= rng.randint(1, 255)
        return bytes(body)

    async def ask() -> list[Batch | BaseException]:
        desk, reader = ParquetDesk(), FrameReader(MIXED, max_rows=2_000)
        return await asyncio.gather(*(desk.read(reader, damaged()) for _ in range(24)), return_exceptions=True)

    for outcome in asyncio.run(ask()):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, InputError), repr(outcome)
        else:
            assert outcome.rows <= 2_000


@pytest.mark.parametrize("code", ["import os; os.abort()", "import os; os.kill(os.getpid(), 9)"])
def test_a_reader_that_dies_before_it_has_all_is_the_files_fault(code: str) -> None:
    with pytest.raises(InvalidRequest, match="not a Parquet file"):
        _read(bytes(2**20), desk=_desk(code))


def test_a_reader_that_is_broken_itself_is_nobodys_mistake_but_ours() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: gone"):
        _read(b"", desk=_desk("import sys; sys.stderr.write('gone'); sys.exit(3)"))
    words = "import sys, msgspec; sys.stdout.buffer.write(msgspec.msgpack.encode(" + repr(
        {"type": "answered", "rows": 9, "numeric": b"", "text": []}
    )
    with pytest.raises(ValueError, match="other rows or columns"):
        _read(b"", desk=_desk(words + "))"), max_rows=3)


def test_without_a_process_the_client_is_to_come_again() -> None:
    with pytest.raises(Overloaded):
        _read(b"", desk=ParquetDesk(("/nowhere/to/be/found",)))


def test_a_reader_ends_with_the_call_that_wanted_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    slow = _desk(f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(100)")

    async def ask() -> None:
        reading = asyncio.ensure_future(slow.read(FrameReader(MIXED, max_rows=3), bytes(2**20)))
        while not note.exists() or not note.read_text(encoding="ascii"):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(ask())
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text(encoding="ascii")), 0)


def test_only_two_are_read_at_once(tmp_path: Path) -> None:
    code = (
        f"import os, sys, time; folder = {str(tmp_path)!r}; mine = os.path.join(folder, str(os.getpid()));"
        "open(mine, 'w').close(); time.sleep(0.1); seen = len(os.listdir(folder)); os.unlink(mine); sys.exit(10 + seen)"
    )
    desk = _desk(code)

    async def ask() -> list[Any]:
        reader = FrameReader(MIXED, max_rows=3)
        return await asyncio.gather(*(desk.read(reader, b"") for _ in range(5)), return_exceptions=True)

    ends = {int(str(error).split("ended with ")[1].split(":")[0]) for error in asyncio.run(ask())}
    assert ends <= {11, 12}


def test_a_deadline_holds_for_reading_too(plane: Plane) -> None:
    answer = plane("/invocations/one", _file({"x": [1]}), _MEDIA, kilter_timeout_ms="1")
    assert (answer.status, answer.json["error_code"]) == (504, "DEADLINE_EXCEEDED")
    assert "kilter-timeout-ms" in answer.json["message"]


def test_the_process_that_answers_never_loads_arrow() -> None:
    code = f"""
import asyncio, sys
import kilter.faces.serving.assembly
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.faces.serving.mlflow.frame import FrameReader
from kilter.faces.serving.mlflow.parquet_desk import ParquetDesk
signature = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="x", type=ColumnType.INTEGER),))
async def ask():
    return await ParquetDesk().read(FrameReader(signature, max_rows=9), {_file({"x": [1, 2]})!r})
assert asyncio.run(ask()).rows == 2
assert "pyarrow" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [b"", b"\x01\x00", b"\x01\x00\x00\x00"])
def test_a_reader_whose_asker_is_gone_ends(words: bytes) -> None:
    command = [sys.executable, "-P", "-m", "kilter.faces.serving.mlflow.parquet_child"]
    done = subprocess.run(command, input=words, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
