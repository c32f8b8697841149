"""Our Mustache subset renders as npm's mustache does: written and generated cases. src/mail/template.h names what differs."""
import json
import random
import subprocess

import pytest

from harness.node import node
from harness.process import BUILD, PATIENCE

DATA = {
    "n": "<A & \"B\"> 'c' {{yes}} ü🙂", "i": 7, "zero": 0, "yes": True, "no": False, "nil": None, "blank": "",
    "list": [{"t": "x"}, {"t": "y", "n": "inner"}, {}], "none": [], "words": ["p", "<q>", "", "ü"], "numbers": [1, 0, -3],
    "o": {"t": "z", "in": {"t": "deep", "k": 1}, "o": {"t": "oo"}}, "deep": [[1, 2], [3]], "t": "outer", "in": {"k": "outer k"},
}
PARTS = {"part": "[{{t}}]", "lines": "one {{n}}\n{{#yes}}\ntwo\n{{/yes}}\n", "empty": "", "nests": "{{#list}}{{> part}}{{/list}}"}
NAMES = ["n", "i", "zero", "yes", "no", "nil", "blank", "list", "none", "words", "numbers", "o", "deep", "t", "in", "gone",
         "o.t", "o.in", "o.in.t", "in.k", "in.t", "o.gone", "gone.t", "o.o.t", "in.gone", "."]
VALUES = ["n", "i", "zero", "yes", "no", "nil", "blank", "t", "gone", "o.t", "o.in.t", "in.k", "in.t", "o.gone", "gone.t"]
WRITTEN = [
    "", "x", "\n", "{{n}}", "{{{n}}}", "{{&n}}", "{{ n }}", "{{{ n }}}", "{{& n }}", "{{ & n }}", "}}", "{ {n} }", "a{{!\nlong\n}}b",
    "a\n{{! c }}\nb", "a\n  {{! c }}  \nb", "{{! c }}", "a\r\n{{#yes}}\r\nb\r\n{{/yes}}\r\nc", "{{#yes}}{{/yes}}\nx",
    "{{#yes}} {{/yes}}\nx", "  {{#yes}}\n  a\n  {{/yes}}\nb", "{{#yes}}\na{{/yes}}\nb", "{{ #yes }}a{{ /yes }}", "{{#  yes}}a{{/yes  }}",
    "{{#words}}\n{{.}}\n{{/words}}\n", "{{#list}}{{t}}-{{n}};{{/list}}", "{{#deep}}({{#.}}{{.}}{{/.}}){{/deep}}",
    "{{#o}}{{#in}}{{t}}{{k}}{{i}}{{/in}}{{/o}}", "{{#o}}{{in.t}}{{in.k}}{{o.t}}{{/o}}", "{{^none}}a{{/none}}{{^words}}b{{/words}}",
    "{{#zero}}a{{/zero}}{{^zero}}b{{/zero}}", "{{#blank}}a{{/blank}}{{^blank}}b{{/blank}}", "{{#n}}{{.}}{{/n}}", "{{#i}}{{.}}{{/i}}",
    "{{> part}}", "a {{>part}} b", "{{> lines}}", "{{> lines}}\nx\n", "{{#o}}{{> part}}{{/o}}", "{{> empty}}\nx", "{{> nests}}",
    "{{#a}}{{/b}}", "{{#a}}", "{{/a}}", "{{n", "{{{n}}", "{{#a}}{{#b}}{{/a}}{{/b}}", "{{#list}}\n{{#yes}}\n{{t}}\n{{/yes}}\n{{/list}}\n",
    "{{#yes}}\n{{^no}}\nx\n{{/no}}\n{{/yes}}", "a {{! c }} b\n", "\n\n{{#yes}}\n\nx\n\n{{/yes}}\n\n", "{{no}}{{yes}}",
]


def generated(dice, depth=0):
    """A random template of what the subset can do; sections closed, often on lines of their own."""
    out = []
    for _ in range(dice.randrange(1, 5)):
        what = dice.randrange(9)
        if what < 3:
            out.append(dice.choice(["x", " ", "\n", "  \n", "a < b\n", "\t", "ü", "\n\n", "y z", "{", "}", "\r\n"]))
        elif what == 3:
            out.append("{{" + dice.choice(["", " "]) + dice.choice(VALUES) + "}}")
        elif what == 4:
            out.append(dice.choice(["{{{%s}}}", "{{&%s}}"]) % dice.choice(VALUES))
        elif what == 5:
            out.append(dice.choice(["{{! %s }}", "{{!%s}}\n", "\n{{! %s}}\n"]) % "no & sense")
        elif what == 6:
            out.append(dice.choice(["{{> part}}", "{{>empty}}\n", "{{>nests}}", "\n{{> lines}}\n"]))
        elif depth < 4:
            name, kind = dice.choice(NAMES), dice.choice("##^")
            left, right = dice.choice(["", "\n", " ", "  \n"]), dice.choice(["", "\n", "\n  ", " "])
            out.append("{{%s%s}}%s%s%s{{/%s}}%s" % (kind, name, left, generated(dice, depth + 1), right, name, left))
    return "".join(out)


def ours(cases, folder):
    done = subprocess.run([BUILD / "tests/unit/render_cases", folder], input=json.dumps(cases).encode(), timeout=PATIENCE,
                          capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def plain(text):
    """What the package escapes beyond us."""
    return text and text.replace("&#x2F;", "/").replace("&#x60;", "`").replace("&#x3D;", "=")


@pytest.fixture
def folder(tmp_path):
    for name, text in PARTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def indented(template):
    """A part behind spaces alone: the package indents its lines, we don't."""
    return any("{{>" in line and line.split("{{>")[0].strip(" \t") == "" and line.split("{{>")[0]
               for line in template.split("\n"))


def test_as_the_package(folder, long):
    dice = random.Random(11)
    templates = WRITTEN + [t for t in (generated(dice) for _ in range(40000 if long else 4000)) if not indented(t)]
    cases = [{"template": t, "data": DATA, "html": html} for t in templates for html in (True, False)]
    theirs = node("render.js", {"cases": cases, "parts": PARTS})
    for case, mine, other in zip(cases, ours(cases, folder), theirs):
        assert mine == plain(other), f"{case['template']!r} html={case['html']}"
    assert sum(bool(t) for t in theirs) > len(cases) / 2


@pytest.mark.parametrize("text", ["/", "`", "=", "&amp;", "<script>alert(1)</script>", "\" onload=\"x", "'", "\u2028", "\x7f"])
def test_escapes(folder, text):
    case = [{"template": "<a title=\"{{x}}\">{{x}}</a>{{{x}}}", "data": {"x": text}, "html": True}]
    [other] = node("render.js", {"cases": case, "parts": {}})
    assert ours(case, folder) == [plain(other)]
