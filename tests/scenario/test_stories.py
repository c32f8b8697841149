"""Every story of stories/, on the real server with the sandbox as its Stripe. After each: no broken invariant, and the
facts rebuilt from the stored events are the live ones."""
import json
import pathlib

import pytest

from story import Story

STORIES = sorted((pathlib.Path(__file__).parent / "stories").glob("*.txt"))


def parts():
    """A file may hold several stories, each under a line `== title`."""
    for file in STORIES:
        title, lines = None, []
        for line in file.read_text().splitlines():
            if line.startswith("== "):
                if title:
                    yield pytest.param("\n".join(lines), id=f"{file.stem}: {title}")
                title, lines = line[3:].strip(), []
            else:
                lines.append(line)
        if title:
            yield pytest.param("\n".join(lines), id=f"{file.stem}: {title}")


@pytest.mark.parametrize("text", parts())
def test_story(town, text):
    Story(town, town.sandbox).run(text)
    town.settle()
    town.cli("check")
    shadow = json.loads(town.cli("events", "replay", "--shadow", "--json"))
    assert shadow["differences"] == [] and shadow["failed"] == 0, shadow
