"""Claims about the four JSON forms: what is read, and how everything else is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import InputError
from kilter.faces.serving.limits import ELEMENTS
from kilter.faces.serving.mlflow.form import read_form
from kilter.faces.serving.mlflow.frame import FrameReader
from kilter.testing.plane import MIXED

if TYPE_CHECKING:
    from kilter.faces.serving.mlflow.form import FormRequest

_NUMBERS = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT, nullable=True)),
)
_ONE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="x", type=ColumnType.INTEGER, nullable=True),))
_ROW = {"age": 40, "visits": 3, "is member": True, "plan": "basic", "income": 1.5, "region": "north"}
_NAMES = list(_ROW)


def _read(body: object, signature: Signature = MIXED, max_rows: int = 100) -> FormRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_form(FrameReader(signature, max_rows=max_rows), data)


def _cells(request: FormRequest) -> tuple[list[list[float]], list[list[str | None]]]:
    return np.asarray(request.batch.numeric).tolist(), np.asarray(request.batch.text).tolist()


_rows = st.lists(
    st.fixed_dictionaries(
        {
            "age": st.floats(-1e6, 1e6) | st.integers(-(2**53), 2**53),
            "visits": st.integers(-(2**53), 2**53) | st.integers(-1000, 1000).map(float),
            "is member": st.booleans(),
            "plan": st.text(max_size=8).filter(lambda text: text.isprintable()),
            "income": st.none() | st.floats(-1e6, 1e6),
            "region": st.none() | st.sampled_from(["north", ""]),
        }
    ),
    min_size=1,
    max_size=5,
)


@given(rows=_rows, order=st.permutations(_NAMES))
def test_all_forms_say_the_same(rows: list[dict[str, Any]], order: list[str]) -> None:
    data = [[row[name] for name in order] for row in rows]
    in_order = [[row[name] for name in _NAMES] for row in rows]
    shuffled = [{name: row[name] for name in order} for row in rows]
    columns = {name: [row[name] for row in rows] for name in order}
    forms: list[dict[str, object]] = [
        {"dataframe_split": {"columns": order, "data": data}},
        {"dataframe_split": {"columns": order, "index": list(range(len(rows))), "data": data}},
        {"dataframe_split": {"data": in_order}},
        {"dataframe_records": shuffled},
        {"instances": shuffled},
        {"instances": in_order},
        {"inputs": columns},
        {"inputs": {name: [[cell] for cell in cells] for name, cells in columns.items()}},
        {"inputs": in_order},
        {"inputs": shuffled},
    ]
    numbers = [[row["age"], row["visits"], row["is member"], row["income"]] for row in rows]
    expected = np.array(numbers, dtype=np.float64)
    texts = [[row["plan"], row["region"]] for row in rows]
    for form in forms:
        batch = _read(form).batch
        assert batch.rows == len(rows)
        np.testing.assert_array_equal(np.asarray(batch.numeric), expected)
        assert np.asarray(batch.text).tolist() == texts


def test_a_single_row_may_come_as_plain_values() -> None:
    assert _cells(_read({"inputs": _ROW})) == ([[40.0, 3.0, 1.0, 1.5]], [["basic", "north"]])


def test_a_single_column_may_come_flat() -> None:
    for form in ("inputs", "instances"):
        assert _cells(_read({form: [1, None, 3.0]}, _ONE))[0][::2] == [[1.0], [3.0]]


def test_what_is_missing_may_be_left_out() -> None:
    short = {name: value for name, value in _ROW.items() if name not in {"income", "region"}}
    for form in (
        {"dataframe_records": [short, _ROW]},
        {"dataframe_split": {"columns": list(short), "data": [list(short.values())]}},
        {"inputs": {name: [value] for name, value in short.items()}},
    ):
        numbers, texts = _cells(_read(form))
        assert np.isnan(numbers[0][3])
        assert texts[0] == ["basic", None]


def test_nan_is_read_as_missing() -> None:
    """MLflow's own client writes the token for a missing cell of a frame."""
    body = b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, NaN], [2.0,NaN]]}}'
    assert np.isnan(np.asarray(_read(body, _NUMBERS).batch.numeric)[:, 1]).all()
    text = {**_ROW, "plan": 'NaN, "NaN" \\', "region": "[NaN]"}
    data = json.dumps({"instances": [text]}).replace("1.5", "NaN").encode()
    assert _cells(_read(data))[1] == [['NaN, "NaN" \\', "[NaN]"]]
    with pytest.raises(InputError, match=r"\.a: expected a number"):
        _read(b'{"inputs": [[NaN, 1]]}', _NUMBERS)


def test_odd_but_right_numbers_are_read() -> None:
    assert _cells(_read({"inputs": [[1e300, 2**53], [-(2**53), -1e300]]}, _NUMBERS))[0] == [
        [1e300, 2.0**53],
        [-(2.0**53), -1e300],
    ]
    assert _cells(_read({"inputs": [2.0**53, -(2**53)]}, _ONE))[0] == [[2.0**53], [-(2.0**53)]]


_WRONG: list[tuple[object, str]] = [
    ([1], "the body: expected an object, got an array"),
    (None, "the body: expected an object, got null"),
    ({}, "expected exactly one of"),
    ({"params": {}}, "expected exactly one of"),
    ({"inputs": [_ROW], "instances": [_ROW]}, "got `instances` and `inputs`"),
    ({"inputs": [_ROW], "param": {}}, "param: expected no such key"),
    ({"dataframe_split": [_ROW]}, "dataframe_split: expected an object with `columns` and `data`, got an array"),
    ({"dataframe_split": {"columns": _NAMES}}, r"dataframe_split.data: expected an array of rows, got nothing"),
    ({"dataframe_split": {"columns": _NAMES, "data": {}}}, "dataframe_split.data: expected an array of rows, got an"),
    ({"dataframe_split": {"columns": "age", "data": [[1]]}}, "dataframe_split.columns: expected an array of text"),
    ({"dataframe_split": {"columns": [0], "data": [[1]]}}, "dataframe_split.columns: expected an array of text"),
    ({"dataframe_split": {"data": [[1]], "rows": 1}}, "dataframe_split.rows: expected no such key"),
    ({"dataframe_split": {"data": [list(_ROW.values())], "index": []}}, "dataframe_split.index"),
    ({"dataframe_split": {"data": [list(_ROW.values())], "index": 3}}, "dataframe_split.index"),
    ({"dataframe_split": {"columns": [*_NAMES, "age"], "data": [[1]]}}, "`age` is there twice"),
    ({"dataframe_split": {"columns": [*_NAMES, "agee"], "data": [[1]]}}, "dataframe_split.agee: unknown column"),
    ({"dataframe_split": {"columns": ["age", "region"], "data": [[1, "a"]]}}, "3 of 6 columns are missing: `visits`"),
    ({"dataframe_split": {"columns": _NAMES, "data": []}}, "at least one row"),
    ({"dataframe_split": {"columns": _NAMES, "data": [[1]]}}, r"dataframe_split\[0\]: expected 6 values, got 1"),
    ({"dataframe_split": {"columns": _NAMES, "data": [_ROW]}}, r"dataframe_split\[0\]: expected an array of 6 values"),
    ({"dataframe_records": _ROW}, "dataframe_records: expected an array of rows, got an object"),
    ({"dataframe_records": [_ROW, 3]}, r"dataframe_records\[1\]: expected an object of column and value"),
    ({"dataframe_records": [_ROW, {**_ROW, "agee": 1}]}, r"dataframe_records\[1\].agee: unknown column"),
    ({"dataframe_records": []}, "dataframe_records: expected at least one row"),
    ({"dataframe_records": [_ROW] * 101}, "dataframe_records: expected at most 100 rows, got 101 rows"),
    ({"dataframe_records": [{}]}, r"dataframe_records\[0\].age: expected a number, got null"),
    ({"instances": _ROW}, "instances: expected an array of rows, got an object"),
    ({"instances": "age"}, "instances: expected an array of rows, got text"),
    ({"instances": [_ROW, list(_ROW.values())]}, "rows of one kind"),
    ({"instances": [[1, 2]]}, r"instances\[0\]: expected 6 values, got 2"),
    ({"instances": [1, 2]}, "rows of 6 values, got a flat array"),
    ({"inputs": 3}, "an array of rows, or an object of columns, got an integer"),
    ({"inputs": {}}, "4 of 6 columns are missing"),
    ({"inputs": {**_ROW, "agee": 1}}, "inputs.agee: unknown column"),
    ({"inputs": {**_ROW, "age": [1]}}, "arrays and plain values mixed"),
    ({"inputs": {name: [value] * (1 + (name == "plan")) for name, value in _ROW.items()}}, "inputs.plan: expected 1 v"),
    ({"inputs": {name: [] for name in _ROW}}, "at least one row"),
    ({"instances": [_ROW | {"age": "40"}]}, r"instances\[0\].age: expected a number, got text"),
    ({"instances": [_ROW, _ROW | {"age": True}]}, r"instances\[1\].age: expected a number, got true or false"),
    ({"instances": [_ROW | {"age": 2**53 + 1}]}, r"instances\[0\].age: expected a number of at most 2\*\*53"),
    ({"instances": [_ROW | {"age": 10**400}]}, r"instances\[0\].age: expected a number of at most 2\*\*53"),
    ({"instances": [_ROW | {"visits": 2.5}]}, r"instances\[0\].visits: expected an integer, got a fraction"),
    ({"instances": [_ROW | {"visits": 1e17}]}, r"instances\[0\].visits: expected an integer, got a fraction"),
    ({"instances": [_ROW | {"is member": 1}]}, "true or false, got an integer"),
    ({"instances": [_ROW | {"plan": None}]}, r"instances\[0\].plan: expected text, got null"),
    ({"instances": [_ROW | {"plan": 7}]}, r"instances\[0\].plan: expected text, got an integer"),
    ({"instances": [_ROW | {"region": ["n"]}]}, r"instances\[0\].region: expected text, got an array"),
    ({"instances": [_ROW], "params": [1]}, "params: expected an object, got an array"),
    ({"instances": [_ROW], "params": {"predict_method": "predict_probs"}}, "unknown predict method"),
    ({"instances": [_ROW], "params": {"predict_method": [1]}}, "unknown predict method"),
    ({"instances": [_ROW], "params": {"routing_key": 7}}, "params.routing_key: expected text"),
    ({"instances": [_ROW], "params": {"timeout_ms": 0}}, "params.timeout_ms: expected an integer"),
    ({"instances": [_ROW], "params": {"timeout_ms": True}}, "params.timeout_ms: expected an integer"),
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b'{"inputs": [[Infinity, 1]]}', "not valid JSON"),
    (b'{"inputs": [[nan, 1]]}', "not valid JSON"),
    (b'{"inputs": [[NaN, NaN', "not valid JSON"),
    (b'{"inputs": "NaN", NaN}', "not valid JSON"),
    (b'{"inputs": [[1e999, 1]]}', "beyond the range of float64"),
    (b'{"inputs": [[' + b"9" * 5_000 + b", 1]]}", "beyond the range of float64"),
    (b'{"inputs": [["\xff"]]}', "valid"),
    (b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper"),
]


@pytest.mark.parametrize(("body", "part"), _WRONG)
def test_what_is_wrong_is_said(body: object, part: str) -> None:
    with pytest.raises(InputError, match=part) as caught:
        _read(body)
    assert caught.value.hint


def test_more_cells_than_any_request_may_have_are_refused() -> None:
    reader = FrameReader(_NUMBERS, max_rows=ELEMENTS)
    with pytest.raises(InputError, match="at most 16777216 cells"):
        reader.check_size("csv", ELEMENTS // 2 + 1, 2)


def test_options_are_read() -> None:
    params = {"predict_method": "predict", "routing_key": "k", "timeout_ms": 9, "more": 1}
    request = _read({"instances": [_ROW], "params": params})
    assert request[1:] == ("predict", "k", 9, ("more",))
    assert _read({"instances": [_ROW], "params": None})[1:] == ("", None, None, ())
    assert _read({"instances": [_ROW], "params": dict.fromkeys(params)})[1:] == ("", None, None, ("more",))


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b'"NaN'])
def test_a_string_without_end_is_read_once(end: bytes) -> None:
    with pytest.raises(InputError, match="not valid JSON"):  # quadratic work would take hours
        _read(b'{"inputs": NaN, "' + b'\\"' * 2**20 + end)


def test_many_columns_are_looked_through_once() -> None:
    names = [f"c{number}" for number in range(200_000)]
    columns = tuple(Column(name=name, type=ColumnType.FLOAT, nullable=True) for name in names)
    wide = Signature(task=Task.REGRESSION, target="y", columns=columns)
    body = {"dataframe_split": {"columns": [*names, names[-1]], "data": [[1.0] * 200_001]}}
    with pytest.raises(InputError, match="`c199999` is there twice"):
        _read(body, wide)
