"""The properties of an instance: a note."""

from faults import invalid, read_object

# The host checks every spec against this before it calls `validate`.
SCHEMA = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {"Note": {"type": "string", "description": "A word about the instance"}},
}

EXAMPLE = {"Note": "hello"}


def check(text):
    """The properties, where they are as they should be: what the schema says, and what it cannot say."""
    value = read_object(text, ("Note",))
    note = value.get("Note", "")
    if not isinstance(note, str) or "\0" in note:
        raise invalid("/Note", "Note is a text without NUL")
    return value
