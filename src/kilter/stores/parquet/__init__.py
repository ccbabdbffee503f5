"""The prediction log by columns: Parquet parts, joined with labels."""

from kilter.stores.parquet.table import ParquetTable

__all__ = ["ParquetTable"]
