"""Every page in a real browser: light and dark, desk and phone; nothing from elsewhere, nothing broken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from kilter.faces.web.app import find_pages
from kilter.testing.panel import PREDICTION

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from kilter.testing.panel import Panel

pytestmark = pytest.mark.browser

MODEL = "/models/bike-hourly"
ADDRESSES = {
    "home": "/",
    "now": "/now",
    "overview": MODEL,
    "performance": f"{MODEL}/performance",
    "calibration": f"{MODEL}/calibration",
    "drift": f"{MODEL}/drift",
    "versions": f"{MODEL}/versions",
    "rollouts": "/rollouts",
    "rollout": "/rollouts/rollout_003",
    "alerts": "/alerts",
    "alert": "/alerts/alert_001",
    "audit": "/audit",
    "predictions": f"/predictions?id={PREDICTION}",
    "order": f"{MODEL}/rollback",
    "failure": "/nothing-here",
}
BARE = {
    "home": "/",
    "now": "/now",
    "rollouts": "/rollouts",
    "alerts": "/alerts",
    "audit": "/audit",
    "predictions": "/predictions",
}
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
WIDTH = "document.documentElement.scrollWidth"
MOST_BYTES = 150 * 1024


def walk(browser: Browser, base: str, addresses: dict[str, str], *, scheme: str, size: str, folder: str) -> list[str]:
    """Open every address; return what is wrong."""
    faults: list[str] = []
    width, height = SIZES[size]
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})  # type: ignore[arg-type]
    page = context.new_page()
    watch(page, base, faults)
    for name, address in addresses.items():
        page.goto(base + address, wait_until="load")
        reached = page.evaluate(WIDTH)
        if reached > width:
            faults.append(f"{name}: {reached} pixels wide in a window of {width}")
        if page.locator("h1").count() != 1:
            faults.append(f"{name}: {page.locator('h1').count()} main headings")
        if os.environ.get("SCREENSHOTS"):
            target = Path(os.environ["SCREENSHOTS"]) / f"{folder}{name}-{size}-{scheme}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target, full_page=True)
    context.close()
    return faults


def watch(page: Page, base: str, faults: list[str]) -> None:
    """Note requests to other hosts, errors in the console, and scripts that fail."""
    own = urlsplit(base).netloc
    page.on(
        "request", lambda sent: faults.append(f"request to {sent.url}") if urlsplit(sent.url).netloc != own else None
    )
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))

    def said(message: object) -> None:
        # The browser itself reports that the page for an unknown address came with status 404.
        text = getattr(message, "text", "")
        if getattr(message, "type", "") in ("error", "warning") and "404" not in text:
            faults.append(f"console: {text}")

    page.on("console", said)


def test_every_page_is_walked() -> None:
    assert {page.PAGE.name for page in find_pages()} <= set(ADDRESSES)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_whole_and_our_own(browser: Browser, dashboard: str, scheme: str, size: str) -> None:
    assert not walk(browser, dashboard, ADDRESSES, scheme=scheme, size=size, folder="")


@pytest.mark.parametrize("size", SIZES)
def test_empty_pages_are_whole_and_our_own(browser: Browser, bare_dashboard: str, size: str) -> None:
    assert not walk(browser, bare_dashboard, BARE, scheme="light", size=size, folder="empty-")


def test_a_page_with_everything_on_it_is_light(browser: Browser, dashboard: str) -> None:
    page = browser.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    for address in ADDRESSES.values():
        sizes.clear()
        page.goto(dashboard + address, wait_until="networkidle")
        assert sum(sizes.values()) <= MOST_BYTES, address
        assert len(sizes) <= 6, address
    page.close()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no_scripts"])
def test_a_rollback_asks_why_and_is_carried_out(
    browser: Browser, dashboard: str, filled: Panel, *, has_scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=has_scripts)
    page = context.new_page()
    page.goto(dashboard + MODEL)
    page.get_by_role("link", name="Roll back…").click()
    reason = f"wrong since Monday {has_scripts}"
    page.get_by_label("Why?").fill(reason)
    page.get_by_role("button", name="Roll back now").click()
    assert urlsplit(page.url).path == MODEL
    assert filled.deployer.asked[-1] == ("rollback", "bike-hourly", "None", "dashboard", reason)
    context.close()


def test_an_alert_can_be_acknowledged_by_keyboard(browser: Browser, dashboard: str) -> None:
    page = browser.new_page()
    page.goto(dashboard + "/alerts/alert_002/acknowledge")
    page.get_by_label("Why?").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/alert_002")
    assert page.get_by_text("dashboard looks after it").is_visible()
    page.close()


def test_another_page_cannot_command(browser: Browser, dashboard: str, filled: Panel) -> None:
    before = len(filled.deployer.asked)
    page = browser.new_page()
    page.goto("about:blank")
    page.set_content(f'<form method="post" action="{dashboard}{MODEL}/rollback"><input name="reason" value="x"></form>')
    with page.expect_navigation():
        page.evaluate("document.forms[0].submit()")
    assert "another site" in page.content()
    assert len(filled.deployer.asked) == before
    page.close()
