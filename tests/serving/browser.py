"""Chromium without a window, told what to do over a pipe (the DevTools protocol): typing, keys, pictures, its log."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
FLAGS += ["--remote-debugging-pipe"]
KEYS = {"Enter": 13, "Tab": 9, " ": 32}
CTRL = 2


class Tab:
    """A page in a browser.

    Attributes:
        log: what the browser says of errors and refusals, and what the page writes to the console.
    """

    def __init__(self, commands, answers):
        self._commands, self._answers = commands, answers
        self._number, self._buffer = 0, b""
        self.log = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The result of a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            if answer["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.log.append(answer["params"])
            elif answer["method"] == "Page.javascriptDialogOpening":
                raise AssertionError("the page opened a dialog")
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self):
        while b"\0" not in self._buffer:
            block = os.read(self._answers, 1 << 20)
            assert block, "the browser ended"
            self._buffer += block
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url):
        """Loads a page."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression):
        """Waits until an expression is true."""
        for _ in range(200):
            if self.evaluate(f"Boolean({expression})"):
                return
            time.sleep(0.05)
        raise AssertionError(f"{expression} did not come true")

    def type(self, text):
        """Types a text where the cursor is."""
        self.call("Input.insertText", text=text)

    def press(self, key, modifiers=0):
        """Presses a key and lets it go."""
        text = {"text": "\r"} if key == "Enter" and not modifiers else {"text": key} if key == " " else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, path):
        """Writes what is seen as a PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def tab(folder):
    """A Tab of a browser of its own, whose files are in a folder."""
    read_command, write_command = os.pipe()
    read_answer, write_answer = os.pipe()
    # Chromium takes commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{read_command} 4>&{write_answer}'
    command = ["bash", "-c", script, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'browser'}", "about:blank"]
    with open(folder / "browser.log", "wb") as log:
        process = subprocess.Popen(command, pass_fds=(read_command, write_answer), stderr=log, stdout=log)
    os.close(read_command)
    os.close(write_answer)
    try:
        yield Tab(write_command, read_answer)
    finally:
        os.close(write_command)
        process.terminate()
        process.wait(30)
        os.close(read_answer)
