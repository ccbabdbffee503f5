"""The prediction log by columns: Parquet parts, joined with labels."""

from kilter.stores.parquet.parts import PartFiles
from kilter.stores.parquet.table import ParquetTable

__all__ = ["ParquetTable", "PartFiles"]
