"""Every key of a TOML text is found where it stands."""

from __future__ import annotations

from kilter.settings.position import positions

TEXT = '''# it's "quoted" [not a table]
a = 1
[one]
  b = """
c = 1
[two]
"""
d = [ # list
  "x = 1",
  "]",
]
"e f" = 2
[[many]]
g = { h = 1 }
[[many]]
g = '[three]'
'''


def test_keys_are_found_and_strings_are_not() -> None:
    found = positions(TEXT)
    assert found["a"] == (2, 1)
    assert found["one"] == (3, 1)
    assert found["one.b"] == (4, 3)
    assert found["one.d"] == (8, 1)
    assert found["one.ef"] == (12, 1)
    assert found["many.0.g"] == (14, 1)
    assert found["many.1"] == (15, 1)
    assert found["many.1.g"] == (16, 1)
    assert not {"two", "one.c", "three", "two.c"} & set(found)
