"""Claims about CSV bodies."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd  # type: ignore[import-untyped] # noqa: TID251 - what users' frames are written by
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import InputError
from kilter.faces.serving.mlflow.csv import read_csv
from kilter.faces.serving.mlflow.frame import FrameReader
from kilter.testing.plane import MIXED

_READER = FrameReader(MIXED, max_rows=100)
_HEADER = "age,visits,is member,plan,income,region\n"
_GOOD = "40,3,true,basic,1.5,north\n"
_ONE = FrameReader(
    Signature(task=Task.REGRESSION, target="y", columns=(Column(name="x", type=ColumnType.FLOAT, nullable=True),)),
    max_rows=100,
)


def _numbers(text: str) -> list[list[float]]:
    numbers: list[list[float]] = np.asarray(read_csv(_READER, text.encode()).numeric).tolist()
    return numbers


def test_columns_go_by_name() -> None:
    batch = read_csv(_READER, b"region,plan,visits,age,is member\r\nsouth,plus,7,1e1,FALSE\r\n")
    np.testing.assert_array_equal(np.asarray(batch.numeric), [[10.0, 7.0, 0.0, np.nan]])
    assert np.asarray(batch.text).tolist() == [["plus", "south"]]


def test_cells_follow_the_signature_not_their_looks() -> None:
    batch = read_csv(_READER, (_HEADER + "-.5,+3.0,1,7,,true\n").encode())
    np.testing.assert_array_equal(np.asarray(batch.numeric), [[-0.5, 3.0, 1.0, np.nan]])
    assert np.asarray(batch.text).tolist() == [["7", "true"]]


def test_quotes_follow_rfc_4180() -> None:
    batch = read_csv(_READER, (_HEADER + '40,3,True,"a ""b"", c\r\nd",nan,""\n').encode())
    assert np.asarray(batch.text).tolist() == [['a "b", c\r\nd', None]]
    assert np.isnan(np.asarray(batch.numeric)[0, 3])


def test_what_frame_libraries_add_is_left_out() -> None:
    frame = pd.DataFrame({"x": [1.0, None, 3.0]})
    for index in (True, False):
        batch = read_csv(_ONE, frame.to_csv(index=index).encode())
        np.testing.assert_array_equal(np.asarray(batch.numeric), [[1.0], [np.nan], [3.0]])
    assert read_csv(_ONE, b"\xef\xbb\xbfx\n\n1\n\n").rows == 1


def _rows(without: str) -> st.SearchStrategy[list[dict[str, object]]]:
    row = st.fixed_dictionaries(
        {
            "age": st.floats(-1e300, 1e300),
            "visits": st.integers(-(2**53), 2**53),
            "is member": st.booleans(),
            "plan": st.text(st.characters(codec="utf-8", exclude_characters=without), min_size=1, max_size=6),
            "income": st.none() | st.floats(-1e6, 1e6),
            "region": st.none() | st.sampled_from(["north", "a,b", '"', "\n"]),
        }
    )
    return st.lists(row, min_size=1, max_size=4)


# pandas quotes a CR only where it is part of the line end: unquoted, no reader of RFC 4180 can tell it from one
_WRITTEN = st.tuples(st.just("\n"), _rows("\0\r")) | st.tuples(st.just("\r\n"), _rows("\0"))


@given(written=_WRITTEN)
def test_what_pandas_writes_is_read(written: tuple[str, list[dict[str, object]]]) -> None:
    end, rows = written
    text = io.StringIO(newline="")
    pd.DataFrame(rows).to_csv(text, index=False, lineterminator=end)
    batch = read_csv(_READER, text.getvalue().encode())
    expected = [[row["age"], row["visits"], row["is member"], row["income"]] for row in rows]
    np.testing.assert_array_equal(np.asarray(batch.numeric), np.array(expected, dtype=np.float64))
    assert np.asarray(batch.text).tolist() == [[row["plan"], row["region"]] for row in rows]


def test_a_lone_cr_ends_a_line() -> None:
    text = io.StringIO(newline="")
    row = {"age": 40.0, "visits": 3, "is member": True, "plan": "ba\rsic", "income": 1.5, "region": "north"}
    pd.DataFrame([row]).to_csv(text, index=False, lineterminator="\n")
    with pytest.raises(InputError, match=r"csv\[0\]: expected 6 cells as in the header, got 4"):
        read_csv(_READER, text.getvalue().encode())
    assert np.asarray(read_csv(_ONE, b"x\r1\r2\n").numeric).tolist() == [[1.0], [2.0]]
    assert np.asarray(read_csv(_READER, (_HEADER + '40,3,true,"ba\rsic",1.5,north\n').encode()).text).tolist() == [
        ["ba\rsic", "north"]
    ]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "a first line that names the columns"),
        (b"\n\n", "a first line that names the columns"),
        (_HEADER.encode(), "csv: expected at least one row"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"age,agee\n1,2\n", "csv.agee: unknown column"),
        (b"age,age\n1,2\n", "`age` is there twice"),
        (b"age\n1\n", "3 of 6 columns are missing"),
        ((_HEADER + "1,2\n").encode(), r"csv\[0\]: expected 6 cells as in the header, got 2"),
        ((_HEADER + _GOOD + "1\n").encode(), r"csv\[1\]: expected 6 cells"),
        ((_HEADER + _GOOD * 101).encode(), "at most 100 rows, got 101 rows"),
        ((_HEADER + '40,3,true,"basic,1.5,north\n').encode(), "csv: line 2"),
        ((_HEADER + '40,3,true,"a"b,1.5,north\n').encode(), "csv: line 2"),
        ((_HEADER + "40,3,true," + "x" * 140_000 + ",1.5,north\n").encode(), "csv: line 2"),
        ((_HEADER + _GOOD + ",3,true,basic,1.5,north\n").encode(), r"csv\[1\].age: expected a number, got null"),
        ((_HEADER + "40,3,true,,1.5,north\n").encode(), r"csv\[0\].plan: expected text, got null"),
        ((_HEADER + "40,3,,basic,1.5,north\n").encode(), r"csv\[0\].is member: expected true or false, got null"),
        ((_HEADER + "40,3,yes,basic,1.5,north\n").encode(), r"csv\[0\].is member: expected true or false"),
        ((_HEADER + "40,3.5,true,basic,1.5,north\n").encode(), r"csv\[0\].visits: expected an integer, got a fraction"),
        ((_HEADER + "40,x,true,basic,1.5,north\n").encode(), r"csv\[0\].visits: expected an integer, got other text"),
        ((_HEADER + "1_0,3,true,basic,1.5,north\n").encode(), r"csv\[0\].age: expected a number, got other text"),
        ((_HEADER + " 1,3,true,basic,1.5,north\n").encode(), r"csv\[0\].age: expected a number, got other text"),
        ((_HEADER + "٣,3,true,basic,1.5,north\n").encode(), r"csv\[0\].age: expected a number, got other text"),
        ((_HEADER + "-inf,3,true,basic,1.5,north\n").encode(), r"csv\[0\].age: expected a number, got infinity"),
        ((_HEADER + "1e999,3,true,basic,1.5,north\n").encode(), r"csv\[0\].age: expected a finite number"),
        ((_HEADER + "9007199254740993,3,true,basic,1.5,north\n").encode(), r"csv\[0\].age: .*2\*\*53"),
        ((_HEADER + "9" * 330 + ",3,true,basic,1.5,north\n").encode(), r"csv\[0\].age"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, part: str) -> None:
    with pytest.raises(InputError, match=part) as caught:
        read_csv(_READER, body)
    assert caught.value.hint


def test_large_but_right_numbers_are_read() -> None:
    assert _numbers(_HEADER + "1e300,9007199254740992,0,b,-1e17,\n")[0] == [1e300, 2.0**53, 0.0, -1e17]
