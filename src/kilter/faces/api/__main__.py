"""``python -m kilter.faces.api --settings FILE``."""

from __future__ import annotations

import sys

from kilter.faces.api.main import main

if __name__ == "__main__":
    sys.exit(main())
