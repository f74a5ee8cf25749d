"""A browser with the front end's modules in a bare page, over a stand-in server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made import history, step, tell
from stand_in import RUN, StandIn


@pytest.fixture
def server():
    running = StandIn()
    yield running
    running.close()


@pytest.fixture
def theme():
    """The host's palette: "dark", or "light" where a test says so."""
    return "dark"


@pytest.fixture
def page(browser, server, theme):
    """A bare page with all modules in `scoft`; an error in its console fails the test."""
    errors = []
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(10_000)
    opened.goto(f"{server.url}/page.html?theme={theme}")
    opened.wait_for_function("window.ready")
    yield opened
    opened.close()
    # A browser notes every refusal; where the test asked for one that is no fault of the page.
    refusals = ("responded with a status of 4", "net::ERR_CONNECTION_", "Blocked ")
    faults = [error for error in errors if not any(words in error for words in refusals)]
    assert faults == []
    assert server.refused or errors == []


@pytest.fixture
def run_page(page, server):
    """A page with a training node whose run is at step 4 of 3000."""
    server.runs[RUN] = history(3)
    page.evaluate("helpers.addTrainer()")
    tell(page, step(4))
    return page
