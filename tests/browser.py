"""Chromium without a network, driven over its debugging pipe: what a page does when it is opened and pointed at."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

POINT_AT_EVERYTHING = """
for (const one of document.querySelectorAll('select')) {
  for (let k = 0; k < one.options.length; k++) {
    one.selectedIndex = k;
    for (const what of ['input', 'change']) one.dispatchEvent(new Event(what, {bubbles: true}));
  }
}
for (const one of document.querySelectorAll('input')) {
  if (one.type === 'checkbox' || one.type === 'radio') one.click();
}
for (const one of document.querySelectorAll('details')) one.open = true;
document.querySelectorAll('select').length
"""


@dataclass
class Seen:
    """What happened on a page: its title, errors, addresses that were asked for, menus, and the texts of tips."""

    title: str = ""
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    menus: int = 0
    tips: set[str] = field(default_factory=set)
    true_size: bool = True  # of the canvas: pointing at a scaled one would tell another point


class Browser:
    """A running Chromium; `open` one page after another."""

    def __init__(self, to: Any, back: int) -> None:
        self._to, self._back, self._rest, self._count = to, back, b"", 0
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None

    def _send(self, method: str, **given: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            found = self._read()
            if found.get("id") == self._count:
                return found.get("result", found)
            self._events.append(found)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._back, 1 << 20)
            if not more:
                raise RuntimeError("Chromium ended")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _value(self, expression: str) -> Any:
        return self._send("Runtime.evaluate", expression=expression, returnByValue=True).get("result", {}).get("value")

    def open(self, page: Path, *, drawn: str = "true", hover: int = 0) -> Seen:
        """Open a page, wait until `drawn` holds, use each menu, and point at a map until `hover` tips were shown."""
        self._session = None
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{part}.enable")
        self._events.clear()
        self._send("Page.navigate", url=page.as_uri())
        until = time.monotonic() + 60
        while not self._value(f"document.readyState === 'complete' && !!({drawn})"):
            if time.monotonic() > until:
                raise RuntimeError(f"{page.name} was not drawn in a minute")
            time.sleep(0.05)
        seen = Seen(menus=self._value(POINT_AT_EVERYTHING) or 0)
        if hover:
            for x, y in self._value(POINTS)[: 3 * hover]:
                self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
                told = self._value(TIP)
                seen.tips |= {told} if told else set()
                if len(seen.tips) >= hover:
                    break
            seen.true_size = bool(self._value(TRUE_SIZE))
        seen.title = self._value("document.title")
        for event in self._events:
            self._note(event, seen, page)
        self._session = None
        self._send("Target.closeTarget", targetId=target)
        return seen

    @staticmethod
    def _note(event: dict[str, Any], seen: Seen, page: Path) -> None:
        method, given = event.get("method"), event.get("params", {})
        if method == "Log.entryAdded" and given["entry"]["level"] == "error":
            seen.errors.append(given["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            seen.errors.append(given["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            seen.errors.append(str(given["args"])[:300])
        elif method == "Page.javascriptDialogOpening":
            seen.errors.append(f"a dialog: {given['message']}")
        elif method == "Network.requestWillBeSent":
            url = given["request"]["url"]
            if url != page.as_uri() and not url.startswith(("data:", "blob:")):
                seen.requests.append(url)


TIP = "(one => one && one.style.display === 'block' ? one.innerText : '')(document.getElementById('tip'))"
TRUE_SIZE = """
(one => Math.abs(one.getBoundingClientRect().width * devicePixelRatio - one.width) < 2)(
  document.querySelector('#maps canvas'))
"""
POINTS = """
(() => {  // where the symbols that tell something lie on the screen, by Vega's own scene
  const canvas = document.querySelector('#maps canvas'), found = [];
  canvas.scrollIntoView({block: 'start'});
  const box = canvas.getBoundingClientRect(), [left, top] = view.origin(), edge = view.padding();
  const walk = (item, x, y) => {
    for (const mark of item.items || []) {
      if (mark.marktype === 'group') for (const one of mark.items) walk(one, x + (one.x || 0), y + (one.y || 0));
      else if (mark.marktype === 'symbol') for (const one of mark.items) {
        if (one.tooltip !== undefined && one.tooltip !== null) found.push([x + one.x + box.left, y + one.y + box.top]);
      }
    }
  };
  walk({items: [view.scenegraph().root]}, left + edge.left, top + edge.top);
  return found.filter(([x, y]) => x > 0 && y > 0 && x < innerWidth && y < innerHeight);
})()
"""


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A Chromium that reaches no network; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    give, to = os.pipe()
    back, take = os.pipe()
    shell = f'exec "$0" "$@" 3<&{give} 4>&{take}'
    running = subprocess.Popen(
        ["bash", "-c", shell, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
         "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1200,1000", f"--user-data-dir={profile}",
         "--no-first-run", "--disable-background-networking", "about:blank"],
        pass_fds=(give, take), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(give)
    os.close(take)
    try:
        with os.fdopen(to, "wb") as pipe:
            yield Browser(pipe, back)
    finally:
        os.close(back)
        running.terminate()
        running.wait(20)
