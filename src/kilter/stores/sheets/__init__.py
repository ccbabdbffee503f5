"""Users' tables: CSV, Parquet, Arrow, JSON lines and XLSX become named, typed columns."""

from kilter.stores.sheets.reader import Sheets

__all__ = ["Sheets"]
