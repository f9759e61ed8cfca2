#!/usr/bin/python3
"""The page of `facet serve` as a browser shows it.

Usage: page_test.py FACET [NAME OF TEST...]

What needs no browser is checked always; the rest where chromium and chromedriver
are installed, and said to be skipped elsewhere.
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "openai")]

from facet_server import FacetServer

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.abspath("deploy/demo-model")
DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium")
ATTEMPTS = 600
ADD = [{"type": "function", "function": {
    "name": "add", "description": "Add two numbers.",
    "parameters": {"type": "object", "properties": {
        "a": {"type": "number", "description": "First number."},
        "b": {"type": "number", "description": "Second number."}},
        "required": ["a", "b"]}}}]


class Browser:
    """A headless Chromium, steered by the WebDriver protocol."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [DRIVER, "--port=0", f"--log-path={self.directory.name}/log"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=dict(os.environ, HOME=self.directory.name))
        self.port = None
        for line in self.process.stdout:
            found = re.search(rb"successfully on port (\d+)", line)
            if found:
                self.port = int(found[1])
                break
        if self.port is None:
            raise RuntimeError("chromedriver did not start")
        self.session = self.call("POST", "/session", {"capabilities": {
            "alwaysMatch": {"goog:chromeOptions": {
                "binary": BROWSER, "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu",
                    "--disable-dev-shm-usage",
                    f"--user-data-dir={self.directory.name}/profile"]},
                "goog:loggingPrefs": {"browser": "ALL"}}}})["sessionId"]

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=300)
        connection.request(method, path,
                           json.dumps(body or {}) if method == "POST"
                           else None)
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and value.get("error"):
            raise RuntimeError(f"{path}: {value['error']}: "
                               f"{value['message'][:300]}")
        return value

    def on(self, method, path, body=None):
        return self.call(method, f"/session/{self.session}{path}", body)

    def run(self, script):
        return self.on("POST", "/execute/sync",
                       {"script": script, "args": []})

    def until(self, script):
        for _ in range(ATTEMPTS):
            value = self.run(script)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"not seen: {script}; the page says "
                             f"{self.run('return document.body.innerText')}")

    def errors(self):
        return [one["message"] for one in
                self.on("POST", "/se/log", {"type": "browser"})
                if one["level"] == "SEVERE"]

    def close(self):
        try:
            self.on("DELETE", "")
        except (OSError, RuntimeError):
            pass
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()
        self.directory.cleanup()


def say(browser, text):
    browser.run("document.getElementById('text').value = "
                f"{json.dumps(text)}; document.getElementById('send').click()")


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = FacetServer(FACET, MODEL, "--access-log=off",
                                 "--workers=2")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def get(self, path):
        connection = http.client.HTTPConnection(self.server.http, timeout=60)
        connection.request("GET", path)
        response = connection.getresponse()
        data = response.read().decode()
        connection.close()
        self.assertEqual(response.status, 200, path)
        return data

    def test_every_element_that_the_script_uses_is_on_the_page(self):
        page, script = self.get("/"), self.get("/page/facet.js")
        wanted = set(re.findall(r"\$\('([\w-]+)'\)", script))
        self.assertGreater(len(wanted), 15)
        for name in wanted | {"rate", "first", "between", "requests"}:
            self.assertIn(f'id="{name}"', page)
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            self.get(path)

    def test_the_metrics_that_the_script_reads_are_there(self):
        script, metrics = self.get("/page/facet.js"), self.get("/metrics")
        names = set(re.findall(r"facet:([a-z_]+)", script)) | set(
            re.findall(r"value\(`([a-z_]+)\{", script))
        self.assertGreater(len(names), 4)
        for name in names:
            self.assertIn(f"facet:{name}", metrics)

    def test_the_cluster_is_told_rank_by_rank(self):
        cluster = json.loads(self.get("/cluster"))
        self.assertEqual(cluster["model"], "demo-model")
        self.assertEqual([one["rank"] for one in cluster["ranks"]], [0, 1])
        for rank in cluster["ranks"]:
            self.assertGreater(rank["weight_bytes"], 0)
            self.assertGreater(rank["kv_bytes"], 0)

    @unittest.skipUnless(DRIVER and BROWSER, "chromium is not installed")
    def test_the_page_shows_the_cluster_and_talks(self):
        browser = Browser()
        self.addCleanup(browser.close)
        browser.on("POST", "/url", {"url": f"http://{self.server.http}/"})
        browser.until("return document.body.dataset.live === 'yes'")
        self.assertEqual(browser.run(
            "return document.querySelectorAll('.rank').length"), 2)
        self.assertIn("demo-model", browser.run(
            "return document.getElementById('summary').textContent"))

        say(browser, "What is Facet?")
        answer = browser.until(
            "return !running && document.querySelector('.turn.assistant "
            ".content')?.textContent")
        self.assertTrue(answer.startswith("Facet is"), answer)
        browser.until("return document.querySelector('#rate polyline')"
                      "?.getAttribute('points')")

        browser.run("document.getElementById('clear').click(); "
                    "document.getElementById('think').checked = true")
        say(browser, "13 + 27 = ?")
        thought = browser.until(
            "return !running && document.querySelector('.turn .thought')"
            "?.textContent")
        self.assertGreater(len(thought), 5)

        browser.run("document.getElementById('clear').click(); "
                    "document.getElementById('think').checked = false; "
                    "document.getElementById('tools').value = "
                    f"{json.dumps(json.dumps(ADD))}")
        say(browser, "Add 12 and 30.")
        call = browser.until("return !running && "
                             "document.querySelector('.call')?.textContent")
        self.assertIn('"a":12', call.replace(" ", ""))
        say(browser, "42")
        said = browser.until(
            "return !running && [...document.querySelectorAll("
            "'.turn.assistant .content')].pop()?.textContent")
        self.assertIn("42", said)
        self.assertEqual(browser.errors(), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
