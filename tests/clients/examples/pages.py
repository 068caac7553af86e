"""The blocks of code of README and the documentation."""

import re

from todo import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "docs/*.md", "examples/*/README.md"]


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """The blocks of a page: their language (nothing for a bare fence, `indented` for one that is only indented) and lines."""
    found, lines, at = [], text.split("\n"), 0
    while at < len(lines):
        if fence := re.match(r"^( *)```(\w*)$", lines[at]):
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
            found.append((fence[2], [line.removeprefix(fence[1]) for line in lines[at + 1 : end]]))
            at = end
        elif lines[at].startswith("    ") and lines[at - 1].strip() == "":
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or (not lines[end] and lines[end + 1 : end + 2] and lines[end + 1].startswith("    "))):
                end += 1
            found.append(("indented", [line[4:] for line in lines[at:end]]))
            at = end
        at += 1
    return found


def all_blocks() -> list[tuple[str, str, list[str]]]:
    files = [file for pattern in PAGES for file in sorted(ROOT.glob(pattern))]
    return [
        (str(file.relative_to(ROOT)), language, lines)
        for file in files
        for language, lines in blocks(file.read_text())
        if lines
    ]
