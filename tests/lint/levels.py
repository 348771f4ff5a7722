#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Holds the sources to the levels of src/LEVELS.

Then plants one violation of each rule in a copy of the tree and expects to be told: a check that cannot
fail proves nothing. Writes TAP. "levels.py DIRECTORY" only checks that source directory and prints what
is wrong.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

CAPABILITIES = {"gnutls", "ev", "mmsg", "if"}
TOP_LEVEL = 7
EV_LEVELS = range(5, 8)
SPDX = "SPDX-License-Identifier: BSD-2-Clause"


class Module:
    def __init__(self, name, level, rank, may):
        self.name, self.level, self.rank, self.may = name, level, rank, may


def read_table(path):
    """Returns ({name: Module}, [complaint])."""
    modules, complaints, last = {}, [], 0
    with open(path, encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            where = f"LEVELS:{number}"
            if len(words) < 2 or not words[1].isdigit() or int(words[1]) > TOP_LEVEL:
                complaints.append(f"{where}: expected: module level [may ...]")
                continue
            name, level, may = words[0], int(words[1]), set(words[2:])
            if may - CAPABILITIES:
                complaints.append(f"{where}: {name} may do unknown things: {' '.join(may - CAPABILITIES)}")
            if "ev" in may and level not in EV_LEVELS:
                complaints.append(f"{where}: {name} is on level {level}, ev.h belongs to levels 5 to 7")
            if level < last:
                complaints.append(f"{where}: the table is not sorted by level")
            if name in modules:
                complaints.append(f"{where}: {name} is listed twice")
            last = level
            modules[name] = Module(name, level, len(modules), may)
    return modules, complaints


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)


def blank(text, strings):
    """Comments (and strings) replaced by as many lines of nothing."""

    def replace(match):
        token = match.group()
        if token[0] in "\"'" and not strings:
            return token
        return "\n" * token.count("\n") if token[0] == "/" else '""'

    return TOKEN.sub(replace, text)


def conditionals_in_functions(text):
    """Line numbers of #if... inside function bodies. A body is what a brace after a ")" opens."""
    found, depth, body, before = [], 0, None, ""
    lines = blank(text, True).split("\n")
    continued = False
    for number, line in enumerate(lines, 1):
        directive = continued or line.lstrip().startswith("#")
        if directive:
            if not continued and body is not None and re.match(r"\s*#\s*if", line):
                found.append(number)
            continued = line.endswith("\\")
            continue
        for char in line:
            if char == "{":
                if body is None and before == ")":
                    body = depth
                depth += 1
            elif char == "}":
                depth -= 1
                if body == depth:
                    body = None
            if not char.isspace():
                before = char
    return found


def check_includes(path, text, own, modules):
    for match in INCLUDE.finditer(blank(text, False)):
        line = text_line(blank(text, False), match.start())
        kind, name = match.groups()
        if kind == "<":
            if name.startswith("gnutls/") and "gnutls" not in own.may:
                yield f"{path}:{line}: <{name}>, but LEVELS does not say that {own.name} may use gnutls"
            if name == "ev.h" and "ev" not in own.may:
                yield f"{path}:{line}: <ev.h>, but LEVELS does not say that {own.name} may use ev"
            continue
        stem = name.removesuffix(".h")
        if name == "config.h" or stem == own.name:
            continue
        if stem not in modules:
            yield f'{path}:{line}: "{name}" belongs to no module of LEVELS'
        elif modules[stem].level > own.level:
            yield f'{path}:{line}: "{name}" is of level {modules[stem].level}, {own.name} of {own.level}'
        elif modules[stem].rank > own.rank:
            yield f'{path}:{line}: "{name}" is on the same level and listed below {own.name}'


def text_line(text, offset):
    return text.count("\n", 0, offset) + 1


def check_file(directory, name, modules):
    path = os.path.join(directory, name)
    with open(path, encoding="utf-8") as source:
        text = source.read()
    if SPDX not in text.split("\n", 1)[0]:
        yield f"{name}:1: the first line has no {SPDX}"
    stem = os.path.splitext(name)[0]
    own = modules.get(stem)
    if own is None:
        yield f"{name}: not listed in LEVELS"
        return
    yield from check_includes(name, text, own, modules)
    if "mmsg" not in own.may:
        code = blank(text, True)
        for match in re.finditer(r"\b(recvmmsg|sendmmsg)\b", code):
            line = text_line(code, match.start())
            yield f"{name}:{line}: {match.group()}, but LEVELS does not say that {stem} may use mmsg"
    if "if" not in own.may:
        for line in conditionals_in_functions(text):
            yield f"{name}:{line}: #if inside a function"


def check_alone(directory, name):
    """A header compiles by itself, twice."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = f'#include "{name}"\n#include "{name}"\nextern int levels_alone;\n'
    done = subprocess.run(
        compiler + ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror", "-fsyntax-only", "-I", directory,
                    "-x", "c", "-"],
        input=source, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        yield f"{name}: does not compile alone:"
        yield from ("    " + line for line in done.stderr.splitlines()[:8])


def sources(directory):
    return sorted(name for name in os.listdir(directory) if name.endswith((".c", ".h")))


def check_tree(directory):
    modules, complaints = read_table(os.path.join(directory, "LEVELS"))
    names = sources(directory)
    for name in names:
        complaints += check_file(directory, name, modules)
        if name.endswith(".h"):
            complaints += check_alone(directory, name)
    present = {os.path.splitext(name)[0] for name in names}
    complaints += [f"LEVELS: {name} has no file" for name in modules if name not in present]
    return complaints


def check_other_sources(top):
    """The SPDX line of what lies outside src."""
    for folder in ("tests", "bench", "certs", "man"):
        for directory, _, names in os.walk(os.path.join(top, folder)):
            for name in names:
                path = os.path.join(directory, name)
                if not name.endswith((".c", ".h", ".py", ".sh", ".tmpl", ".inc", ".1", ".8")):
                    continue
                with open(path, encoding="utf-8") as source:
                    head = "".join(source.readline() for _ in range(2))
                if SPDX not in head:
                    yield f"{os.path.relpath(path, top)}:1: the first lines have no {SPDX}"


# Each: what is planted, where, the text that is put in front, what the complaint must say. A file that is
# not there yet is made.
PLANTS = [
    ("an include of a higher level", "addr.h", '#include "worker.h"\n', r'addr\.h:\d+: "worker.h" is of level'),
    ("an include of a module below on its level", "addr.h", '#include "log.h"\n',
     r"addr\.h:\d+: .* listed below addr"),
    ("an include of no module", "addr.c", '#include "nobody.h"\n', r"belongs to no module"),
    ("ev.h below level 5", "session.c", "#include <ev.h>\n", r"session\.c:\d+: <ev.h>"),
    ("a gnutls header where it is not named", "table.c", "# include <gnutls/gnutls.h>\n",
     r"table\.c:\d+: <gnutls/gnutls.h>"),
    ("sendmmsg outside udp", "worker.c", "int planted(void)\n{\n\treturn sendmmsg(0, 0, 0, 0);\n}\n",
     r"worker\.c:\d+: sendmmsg"),
    ("recvmmsg outside udp", "worker.c", "#define PLANTED recvmmsg\n", r"worker\.c:\d+: recvmmsg"),
    ("#if inside a function", "wheel.c",
     "struct planted {\n#if 1\n\tint allowed;\n#endif\n};\nint planted(void)\n{\n#ifdef X\n#endif\n\treturn 0;\n}\n",
     r"wheel\.c:9: #if inside a function"),
    ("a header that does not compile alone", "pool.h", "extern nosuch_t planted;\n",
     r"pool\.h: does not compile alone"),
    ("a file that is not listed", "stranger.c", "", r"stranger\.c: not listed"),
    ("a file without SPDX", "clock.c", None, r"clock\.c:1: the first line has no SPDX"),
    ("a listed module without a file", "LEVELS", "ghost 0\n", r"LEVELS: ghost has no file"),
    ("ev given to a low level", "LEVELS", "low 1 ev\n", r"ev.h belongs to levels 5 to 7"),
    ("a table out of order", "LEVELS", "high 7\n", r"not sorted"),
    ("an unknown capability", "LEVELS", "odd 0 fly\n", r"unknown things: fly"),
]

# What must not be taken for a violation.
INNOCENT = (f"/* {SPDX} */\n"
            '/* #include "worker.h", sendmmsg */\n'
            "// <ev.h>\n"
            'static const char *const planted = "sendmmsg { \\" #if";\n'
            "int planted_table[] = {\n#ifdef X\n\t1,\n#endif\n\t2};\n"
            "int planted_function(int x)\n{\n\tif (x) {\n\t\treturn '{';\n\t}\n\treturn planted[0];\n}\n"
            "#if 1\nint planted_after;\n#endif\n")


def plant(src, name, text):
    path = os.path.join(src, name)
    old = f"/* {SPDX} */\n"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as source:
            old = source.read()
    first, rest = old.split("\n", 1)
    with open(path, "w", encoding="utf-8") as source:
        source.write(rest if text is None else first + "\n" + text + rest)


def planted_complaints(top, name, text):
    with tempfile.TemporaryDirectory(prefix="levels-") as scratch:
        src = os.path.join(scratch, "src")
        os.mkdir(src)
        for source in sources(os.path.join(top, "src")) + ["LEVELS"]:
            shutil.copyfile(os.path.join(top, "src", source), os.path.join(src, source))
        plant(src, name, text)
        modules, complaints = read_table(os.path.join(src, "LEVELS"))
        if name == "LEVELS":
            present = {os.path.splitext(source)[0] for source in sources(src)}
            complaints += [f"LEVELS: {module} has no file" for module in modules if module not in present]
        else:
            complaints += check_file(src, name, modules)
            if name.endswith(".h"):
                complaints += check_alone(src, name)
        return complaints


class Tap:
    def __init__(self):
        self.number, self.failed = 0, False

    def case(self, complaints, name):
        self.number += 1
        self.failed |= bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {self.number} - {name}")
        for complaint in complaints:
            print(f"# {complaint}")


def main():
    if len(sys.argv) > 1:
        complaints = check_tree(sys.argv[1])
        print("\n".join(complaints))
        return bool(complaints)
    top = os.environ.get("top_srcdir", ".")
    tap = Tap()
    before = check_tree(os.path.join(top, "src"))
    tap.case(before, "every source keeps to src/LEVELS and every header compiles alone")
    tap.case(list(check_other_sources(top)), "every other source file names its licence")
    for what, name, text, expected in PLANTS:
        told = [line for line in planted_complaints(top, name, text) if line not in before]
        tap.case([] if any(re.search(expected, line) for line in told) else [f"told instead: {told}"],
                 f"the check notices {what}")
    told = [line for line in planted_complaints(top, "metrics.c", INNOCENT) if line not in before]
    tap.case(told, "the check is not fooled by comments, strings and tables")
    print(f"1..{tap.number}")
    return tap.failed


if __name__ == "__main__":
    sys.exit(main())
