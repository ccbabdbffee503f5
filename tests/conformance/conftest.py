"""Drivers belong to other environments, and the suite is run as a program: only the tests are collected."""

collect_ignore_glob = ["*/*.py", "__main__.py", "cell.py", "malformed.py", "plane.py"]
