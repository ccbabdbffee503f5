"""Tables are read by suffix, and written whole."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kilter.contracts.signature import ColumnType
from kilter.contracts.table import Table
from kilter.errors import KilterError, NotFound, SchemaMismatch, StoreError, TooLarge, UnsupportedMedia
from kilter.stores.sheets import Sheets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CSV = b"n,x,b,t\n1,1.5,true,a\n2,,false,\n"
TYPES = {"n": ColumnType.INTEGER, "x": ColumnType.FLOAT, "b": ColumnType.BOOLEAN, "t": ColumnType.TEXT}


def table_of() -> pa.Table:
    return pa.table({"n": [1, 2], "x": [1.5, None], "b": [True, False], "t": ["a", None]})


def write_arrow(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table_of().schema) as writer:
        writer.write_table(table_of())


def write_xlsx(path: Path) -> None:
    """Write the smallest workbook that there is, so that no library is needed."""
    rows = [
        "".join(f'<c r="{letter}1" t="str"><v>{name}</v></c>' for letter, name in zip("ABCD", "nxbt", strict=True)),
        '<c r="A2"><v>1</v></c><c r="B2"><v>1.5</v></c><c r="C2" t="b"><v>1</v></c><c r="D2" t="str"><v>a</v></c>',
        '<c r="A3"><v>2</v></c><c r="C3" t="b"><v>0</v></c>',
    ]
    cells = "".join(f'<row r="{number}">{row}</row>' for number, row in enumerate(rows, start=1))
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'

    def link(kind: str, target: str) -> str:
        return (
            f'<Relationships {package}><Relationship Id="r1" Type="{links}/{kind}" Target="{target}"/></Relationships>'
        )

    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "_rels/.rels",
            link("officeDocument", "xl/workbook.xml"),
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook {space} xmlns:r="{links}"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            link("worksheet", "worksheets/s.xml"),
        )
        book.writestr("xl/worksheets/s.xml", f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>")


WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv": lambda path: path.write_bytes(CSV),
    "t.CSV": lambda path: path.write_bytes(CSV),
    "t.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    "t.tsv": lambda path: path.write_bytes(CSV.replace(b",", b"\t")),
    "t.parquet": lambda path: pq.write_table(table_of(), path),
    "t.feather": write_arrow,
    "t.arrow": write_arrow,
    "t.jsonl": lambda path: path.write_bytes(b'{"n":1,"x":1.5,"b":true,"t":"a"}\n{"n":2,"x":null,"b":false,"t":null}'),
    "t.xlsx": write_xlsx,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    table = Sheets().read(str(path))
    assert (table.name, table.rows, table.types) == (name, 2, TYPES)
    np.testing.assert_array_equal(np.asarray(table.columns["n"]), [1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(table.columns["x"]), [1.5, np.nan])
    np.testing.assert_array_equal(np.asarray(table.columns["b"]), [1.0, 0.0])
    assert np.asarray(table.columns["t"]).tolist() == ["a", None]
    assert table.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path / "none" / "t.csv"):
        with pytest.raises(NotFound, match="there is no file") as caught:
            Sheets().read(str(path))
        assert caught.value.where == str(path)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        Sheets().read(str(tmp_path / "t.csv"))


@pytest.mark.parametrize("name", ["t.txt", "t", "t.parquet.gz", "t.json", ".csv"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        Sheets().read(str(tmp_path / name))
    assert ".parquet" in str(caught.value.hint)


@pytest.mark.parametrize(("data", "where"), [(b"a\n1\n", None), (b"a,b\n", ""), (b"a,b\n1\n", "row 2")])
def test_errors_name_the_file_and_the_row(data: bytes, where: str | None, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    if where is None:
        assert Sheets().read(str(path)).rows == 1
        return
    with pytest.raises(SchemaMismatch) as caught:
        Sheets().read(str(path))
    assert str(caught.value.where).startswith(str(path))
    assert where in str(caught.value.where)


def test_more_than_2_gib_are_too_large(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.truncate(2 * 1024**3 + 1)
    with pytest.raises(TooLarge, match=r"2\.0 GiB"):
        Sheets().read(str(path))


def test_any_bytes_give_a_table_or_an_error_of_kilter(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    for name in ("t.csv", "t.parquet", "t.arrow", "t.jsonl", "t.xlsx", "t.csv.gz"):
        path = tmp_path / name
        WRITERS.get(name, WRITERS["t.csv"])(path)
        whole = bytearray(path.read_bytes())
        for _ in range(40):
            data = bytearray(whole)
            for place in draw.integers(0, len(data), 3):
                data[place] = draw.integers(0, 256)
            path.write_bytes(bytes(data[: draw.integers(0, len(data) + 1)]))
            try:
                Sheets().read(str(path))
            except KilterError as error:
                assert error.where  # noqa: PT017 - either outcome is right


def test_a_table_survives_the_way_to_arrow_and_back(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV)
    table = Sheets().read(str(tmp_path / "t.csv"))
    path = tmp_path / "t.arrow"
    path.write_bytes(Sheets().to_arrow(table))
    again = Sheets().read(str(path))
    assert again.types == table.types
    for name, cells in table.columns.items():
        np.testing.assert_array_equal(np.asarray(again.columns[name]), np.asarray(cells))


def test_a_table_that_is_not_what_it_says_cannot_be_encoded() -> None:
    table = Table(name="t", rows=1, types={"a": ColumnType.INTEGER}, columns={"a": np.array([1.5])}, digest="sha256:x")
    with pytest.raises(StoreError, match="`t` cannot be encoded"):
        Sheets().to_arrow(table)


def test_columns_survive_the_way_to_parquet_and_back(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"an older file")
    columns = {"x": np.array([1.5, np.nan]), "t": np.array(["a", None], dtype=object)}
    Sheets().to_parquet(columns, str(path))
    table = Sheets().read(str(path))
    np.testing.assert_array_equal(np.asarray(table.columns["x"]), columns["x"])
    assert np.asarray(table.columns["t"]).tolist() == ["a", None]
    assert pq.read_table(path).column("x").null_count == 1
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_a_parquet_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        Sheets().to_parquet({"x": np.zeros(1)}, str(tmp_path / "none" / "t.parquet"))
    with pytest.raises(StoreError, match="cannot be written"):
        Sheets().to_parquet({"x": np.zeros(1), "y": np.zeros(2)}, str(tmp_path / "t.parquet"))
    assert not list(tmp_path.iterdir())
