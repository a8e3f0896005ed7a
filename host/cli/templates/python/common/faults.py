"""Errors as the contract has them, and reading the properties."""

import json
import re

# A guest's stack is small, and Python's JSON parser recurses: deeper texts are refused before they are parsed.
MAX_DEPTH = 64

# A guest's memory is small too: no declaration needs as much.
MAX_SIZE = 256 << 10


class Fault(Exception):
    """An error with a code of the contract, such as "not-found": the code says what the host does next.

    `path` is for "invalid-argument": a JSON Pointer (RFC 6901) to the member that is wrong, `""` for the whole.
    """

    def __init__(self, code, message, path=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path


def invalid(path, message):
    """The properties can never work as they are."""
    return Fault("invalid-argument", message, path)


def pointer(parent, member):
    """The JSON Pointer of a member."""
    return f"{parent}/{member.replace('~', '~0').replace('/', '~1')}"


def parse(text):
    """The value of a JSON text."""
    if len(text) > MAX_SIZE:
        raise invalid("", f"the properties have more than {MAX_SIZE >> 10} KiB")
    depth = 0
    # Strings are matched first, so that brackets in them do not count.
    for token in re.finditer(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', text, re.DOTALL):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise invalid("", f"the properties are nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(text)
        # Half of a surrogate pair (\ud800) is no Unicode text, and could not be passed on.
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError as error:
        raise invalid("", f"the properties are not JSON: {error}") from None
    return value


def read_object(text, known):
    """The properties as an object with no other members than these; `null` is an empty one."""
    value = parse(text)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("", "the properties are an object, as in {}")
    for name in value:
        if name not in known:
            message = f"unknown property `{name[:40]}`; known are {', '.join(known)}"
            raise invalid(pointer("", name), message)
    return value
