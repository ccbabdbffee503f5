"""Keys are found where they stand in the text."""

from __future__ import annotations

from kilter.settings.position import positions

TEXT = '''\
schema = 1 # [no.table]
  [model]
name = "a = 1"
"quoted key" = 2
long = """
fake = 1
[fake]
"""
list = [
  1, # inner = 2
  "x = 3",
]
inline = { a = 1, b = [2] }
[[gates]]
metric = 'it''s'
[[gates]]
metric = "x"
[ a . b ]
c = 1
'''


def test_keys_tables_and_arrays_of_tables_have_their_places() -> None:
    assert positions(TEXT) == {
        "schema": (1, 1),
        "model": (2, 3),
        "model.name": (3, 1),
        "model.quotedkey": (4, 1),
        "model.long": (5, 1),
        "model.list": (9, 1),
        "model.inline": (13, 1),
        "gates.0": (14, 1),
        "gates.0.metric": (15, 1),
        "gates.1": (16, 1),
        "gates.1.metric": (17, 1),
        "a.b": (18, 1),
        "a.b.c": (19, 1),
    }
