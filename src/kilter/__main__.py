"""``python -m kilter`` is the command ``kilter``."""

from kilter.faces.cli import main

if __name__ == "__main__":
    main()
