"""Placeholders in strings: `{{group}}`, `{{sequence}}`, `{{logical-id}}`.

Strict: whatever stands between `{{` and `}}` is one of these, or an error. `{{{{` stands for `{{` itself. Single braces
mean nothing, so that shell scripts may use them.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Optional

from cloud_init.reading import Invalid, pointer

NAMES = ("group", "sequence", "logical-id")

_TOKEN = re.compile(r"\{\{\{\{|\{\{(.*?)\}\}|\{\{", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Which instance of which group it is."""

    group: str
    sequence: int
    logical_id: Optional[str]

    def value(self, name):
        return {"group": self.group, "sequence": str(self.sequence), "logical-id": self.logical_id}[name]


def fill(path, text, place):
    """The text with its placeholders filled in."""

    def replace(token):
        if token[0] == "{{{{":
            return "{{"
        if token[1] is None:
            raise Invalid(path, "`{{` is never closed; write `{{{{` for two braces that are no placeholder")
        name = token[1].strip()
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            advice = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(NAMES)}"
            shown = name if len(name) <= 40 else f"{name[:40]}..."
            raise Invalid(path, f"unknown placeholder `{shown}`; {advice} (`{{{{{{{{` stands for two braces)")
        value = place.value(name)
        if value is None:
            raise Invalid(path, "`{{logical-id}}` has no value: this group has a Size and no LogicalIDs")
        return value

    return _TOKEN.sub(replace, text)


def fill_all(path, value, place):
    """The same for every string in a value, however deep; keys are left alone."""
    if isinstance(value, str):
        return fill(path, value, place)
    if isinstance(value, list):
        return [fill_all(pointer(path, i), item, place) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: fill_all(pointer(path, key), item, place) for key, item in value.items()}
    return value
