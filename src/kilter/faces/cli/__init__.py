"""The command line: parse, call once, render."""

from kilter.faces.cli.main import main

__all__ = ["main"]
