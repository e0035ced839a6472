"""A headless Chromium for the tests of pages.

chromedriver speaks WebDriver, JSON over HTTP, so that no package is needed for it.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
NEEDED = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not on PATH"
)
UP, DOWN, LEFT, RIGHT, ENTER, ESCAPE = (
    chr(0xE000 + code) for code in (0x13, 0x15, 0x12, 0x14, 0x07, 0x0C)
)


class Browser:
    """A headless Chromium, driven through chromedriver."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._root = f"http://127.0.0.1:{port}"
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [DRIVER, f"--port={port}", "--log-level=OFF"],
            env=os.environ | {"TMPDIR": self._folder.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()
        flags = ["headless=new", "no-sandbox", "disable-gpu", "window-size=1280,900"]
        flags += ["disable-background-networking", "disable-dev-shm-usage"]
        options = {"binary": CHROMIUM, "args": [f"--{flag}" for flag in flags]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
        session = self._call("POST", "/session", {"capabilities": wanted})
        self._session = f"/session/{session['sessionId']}"

    def close(self):
        with contextlib.suppress(OSError):
            self._call("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait(20)
        self._folder.cleanup()

    def open(self, path):
        self._call("POST", f"{self._session}/url", {"url": path.as_uri()})

    def reload(self):
        """Loads the page anew; returns once it is loaded."""
        self._call("POST", f"{self._session}/refresh", {})

    def run(self, script, *arguments):
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def wait_until(self, script):
        for _ in range(100):
            if self.run(f"return Boolean({script})"):
                return
            time.sleep(0.1)
        pytest.fail(f"never true: {script}")

    def keys(self, *keys):
        moves = [
            {"type": kind, "value": key}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        actions = [{"type": "key", "id": "keyboard", "actions": moves}]
        self._call("POST", f"{self._session}/actions", {"actions": actions})

    def click(self, selector):
        found = {"using": "css selector", "value": selector}
        [element] = self._call("POST", f"{self._session}/element", found).values()
        self._call("POST", f"{self._session}/element/{element}/click", {})

    def type_into(self, selector, text):
        found = {"using": "css selector", "value": selector}
        [element] = self._call("POST", f"{self._session}/element", found).values()
        self._call("POST", f"{self._session}/element/{element}/value", {"text": text})

    def tab(self):
        """The tab that is driven."""
        return self._call("GET", f"{self._session}/window")

    def new_tab(self):
        """Opens a tab, and drives it."""
        made = self._call("POST", f"{self._session}/window/new", {"type": "tab"})
        self.to_tab(made["handle"])

    def to_tab(self, tab):
        self._call("POST", f"{self._session}/window", {"handle": tab})

    def close_tab(self):
        self._call("DELETE", f"{self._session}/window")

    def emulate(self, command, **parameters):
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            self._root + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def _wait(self):
        for _ in range(200):
            with contextlib.suppress(OSError):
                self._call("GET", "/status")
                return
            time.sleep(0.1)
        pytest.fail("chromedriver does not answer")
