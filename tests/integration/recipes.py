# SPDX-License-Identifier: BSD-2-Clause
"""A recipe of docs/recipes as a test uses it: the page's files and commands with other addresses and paths put in."""

import os
import re
import shlex
import shutil

import certs
from harness import DTLSC, TOP, Failed, check, check_equal, skip

DIRECTORY = os.path.join(TOP, "docs", "recipes")
PATH = os.pathsep.join([os.path.dirname(DTLSC), os.environ.get("PATH", "/usr/bin:/bin"), "/usr/sbin", "/sbin"])
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def needs(*programs):
    """Without them the case is skipped; where the sources are tested for everybody (CI) it fails."""
    missing = [p for p in programs if not shutil.which(p, path=PATH)]
    if not missing:
        return
    why = "not installed: " + ", ".join(missing)
    if os.environ.get("CI"):
        raise Failed(why)
    skip(why)


def read(name):
    with open(os.path.join(DIRECTORY, name), encoding="utf-8") as f:
        return f.read()


class Recipe:
    """put: what stands in for the page's addresses and paths. Each must occur, and all files and commands be used."""

    def __init__(self, t, name, put):
        self.t, self.name = t, name
        self.put, self.was_put = dict(put), set()
        self.blocks, self.commands = {}, []
        for kind, file, text in BLOCK.findall(read(name + ".md")):
            if kind == "sh":
                self.commands += text.splitlines()
            else:
                self.blocks[file] = text
        self.conf = self._put_in(read(name + ".conf"))
        for file in ("ca.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem"):
            shutil.copy(certs.file(file), t.dir())

    def _put_in(self, text, here=()):
        put = {**self.put, **dict(here)}

        def replace(found):
            self.was_put.add(found.group(0))
            return put[found.group(0)]
        longest_first = sorted(put, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), replace, text)

    def path(self, name):
        return os.path.join(self.t.dir(), name)

    def file(self, name, before="", after="", here=()):
        """Writes a file of the page, with what only the test needs around it; its path. here: put in this one only."""
        check(name in self.blocks, f"{self.name}.md has no {name}, or it was used before")
        return self.t.file(name, before + self._put_in(self.blocks.pop(name), here) + after)

    def daemon(self):
        return self.t.daemon("--config", self.t.file("dtlsd.conf", self.conf), addresses=[])

    def client(self, name, here=()):
        """The dtlsd at the other end."""
        return self.t.daemon("--config", self.file(name, here=here), addresses=[])

    def start(self, beginning):
        """Starts the first command of the page that begins so and was not run before."""
        found = [c for c in self.commands if c.startswith(beginning)]
        check(found, f"{self.name}.md has no command {beginning!r}, or all of them were run")
        self.commands.remove(found[0])
        text = self._put_in(found[0])
        # of a single program the process is that, and not a shell that would outlive its end
        return self.program(["sh", "-c", text if set(text) & set("|&(") else "exec " + text])

    def run(self, beginning):
        """The same, to its end; its output."""
        process = self.start(beginning)
        process.end_input()
        check_equal(process.wait(), 0, f"status of {beginning!r}")
        return process.text

    def program(self, argv):
        return self.t.process(argv, cwd=self.t.dir(), env={"PATH": PATH})

    def all_used(self):
        check(not self.blocks, f"{self.name}.md: no test uses {', '.join(self.blocks)}")
        check(not self.commands, f"{self.name}.md: no test runs {shlex.join(self.commands)}")
        check_equal(set(self.put) - self.was_put, set(), f"what {self.name}.md and .conf no longer say")
