from __future__ import annotations

import msgspec
import numpy as np

from kilter.contracts.golden import GoldenRows
from kilter.contracts.ids import Digest
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.spec import DataSpec, ModelSpec
from kilter.contracts.table import Table
from kilter.services.registry.evidence import acceptable, golden, request_for, sampled, source_of
from kilter.stores.sheets import Sheets

SIGNATURE = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(
        Column(name="a", type=ColumnType.FLOAT),
        Column(name="n", type=ColumnType.FLOAT, nullable=True),
        Column(name="t", type=ColumnType.TEXT),
        Column(name="gone", type=ColumnType.FLOAT),
    ),
)


def table(rows: int, digest: str = "sha256:00ff00ff00ff00ff00") -> Table:
    return Table(
        name="r", rows=rows, types={"a": ColumnType.FLOAT}, columns={"a": np.arange(float(rows))}, digest=digest
    )


def test_small_tables_are_kept_whole_and_large_ones_sampled_by_their_digest() -> None:
    assert sampled(table(50_000)).rows == 50_000
    large = table(50_500)
    kept = np.asarray(sampled(large).columns["a"])
    assert kept.size == 50_000
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(kept, np.asarray(sampled(large).columns["a"]))
    assert not np.array_equal(kept, np.asarray(sampled(table(50_500, "sha256:aa" + "0" * 30)).columns["a"]))


def test_rows_with_gaps_that_the_model_takes_not_are_left_out() -> None:
    columns = {
        "a": np.array([1.0, np.nan, 3.0, 4.0]),
        "n": np.array([np.nan, 2.0, np.nan, 4.0]),
        "t": np.array(["x", "y", None, "z"], dtype=object),
        "y": np.array([0.0, 1.0, 2.0, 3.0]),
    }
    kept = acceptable(SIGNATURE, Table(name="r", rows=4, types={}, columns=columns, digest=""))
    assert np.asarray(kept["y"]).tolist() == [0.0, 3.0]


def test_golden_rows_are_spread_over_the_table_with_gaps_as_none() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=SIGNATURE.columns[:3])
    n = 1_000
    columns = {
        "a": np.arange(float(n)), "n": np.where(np.arange(n) == 0, np.nan, 1.0), "t": np.full(n, "x", dtype=object)
    }  # fmt: skip
    rows = msgspec.json.decode(golden(signature, columns, np.arange(float(n))), type=GoldenRows)
    assert len(rows.raw) == len(rows.numeric) == len(rows.text) == 100
    assert rows.numeric[0] == (0.0, None)
    assert rows.raw[-1] == (999.0,)
    assert rows.text[0] == ("x",)


def test_the_source_names_what_makes_a_version() -> None:
    model, data = ModelSpec(name="m", source="m.onnx", target="y"), DataSpec(id="row", protected=("sex", "row"))
    first = source_of(model, data, Digest("sha256:1"), table(3))
    assert msgspec.json.decode(first)["ignored"] == ["row", "sex"]
    assert first == source_of(model, data, Digest("sha256:1"), table(3))
    assert first != source_of(model, data, Digest("sha256:2"), table(3))


def test_the_request_carries_the_table_and_what_to_leave_out() -> None:
    request = request_for(Sheets(), table(60), ModelSpec(name="m", source="m", target="y"), DataSpec(time="at"))
    assert (request.target, request.ignored) == ("y", ("at",))
    assert request.arrow_ipc
