"""Links lead somewhere, and no file names one person's machine or one package host."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[2]

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|srcset|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")

# Spelt in pieces, so that this file does not find itself.
HOSTS = tuple(
    "".join(parts) for parts in (("pypi", ".org"), ("python", "hosted.org"), ("npm", "js.org"), ("ana", "conda.org"))
)
FOLDERS = "|".join(("ro" + "ot", "wo" + "rk", "work" + "spaces?", "ho" + r"me/\w+", "Us" + r"ers/\w+", "t" + "mp"))
MACHINE_PATH = re.compile(rf"(?<![\w.~$}}/-])/(?:{FOLDERS})/[\w.]")


@cache
def tracked() -> list[Path]:
    """Files that git holds or would hold; without git, everything but hidden folders."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - the reader's own git
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [
            path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        ]
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def pages() -> list[Path]:
    """The README, and every page of the documentation."""
    return [path for path in tracked() if path.suffix == ".md"]


def targets(page: Path) -> list[str]:
    """Relative targets of the links of a page, without code, anchors and other hosts."""
    text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    found = [markdown or html for markdown, html in LINK.findall(text)]
    relative = [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:|#|//", target)]
    return [unquote(re.split(r"[#?\s]", target)[0]) for target in relative]


def test_relative_links_resolve() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in targets(page)
        if not (ROOT / target.lstrip("/") if target.startswith("/") else page.parent / target).exists()
    ]
    assert not broken


def test_no_file_names_a_machine_path() -> None:
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore") if path.suffix != ".parquet" else ""
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert not found


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        for host in HOSTS
        if host.encode() in path.read_bytes()
    ]
    assert not found
