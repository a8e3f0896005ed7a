"""Reading JSON strictly: what is wrong is said with its place, a JSON Pointer (RFC 6901), and with advice."""

import difflib
import json
import re

# What the parser recurses into; more than this no user data needs.
MAX_DEPTH = 64

# A guest's memory is small too: no declaration needs as much.
MAX_SIZE = 256 << 10


class Invalid(Exception):
    """The properties can never work as they are. `path` points to the member that is wrong, `""` is the whole."""

    def __init__(self, path, message):
        super().__init__(message)
        self.path = path
        self.message = message


def pointer(parent, member):
    """The JSON Pointer of a member."""
    return f"{parent}/{str(member).replace('~', '~0').replace('/', '~1')}"


def parse(text):
    """The value of a JSON text that a person wrote."""
    # Python's parser recurses, and a guest's stack is small: what nests too deep is refused before it is parsed.
    if len(text) > MAX_SIZE:
        raise Invalid("", f"the properties have more than {MAX_SIZE >> 10} KiB")
    if depth(text) > MAX_DEPTH:
        raise Invalid("", f"the properties are nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_integer)
        # Half of a surrogate pair (\ud800) is no Unicode text, and could not be passed on.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Invalid("", "the properties hold half of a surrogate pair, which is no Unicode text") from None
    except ValueError as error:
        raise Invalid("", f"the properties are not JSON: {error}") from None
    return value


def depth(text):
    """How deep the arrays and objects of a JSON text are nested."""
    deepest = level = 0
    # Strings first, so that brackets in them do not count.
    for token in re.finditer(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', text, re.DOTALL):
        if token[0] in "[{":
            level += 1
            deepest = max(deepest, level)
        elif token[0] in "]}":
            level -= 1
    return deepest


def _no_constant(name):
    raise ValueError(f"{name} is no JSON")


def _integer(digits):
    # Python refuses to read integers of more than 4,300 digits; no property has a use for even 20.
    return int(digits) if len(digits) <= 20 else float(digits)


def object_of(path, value, known, required=()):
    """Check that this is an object with no other members than these."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            advice = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
            raise Invalid(pointer(path, name), f"unknown property `{name[:40]}`; {advice}")
    for name in required:
        if name not in value:
            raise Invalid(path, f"`{name}` is missing at {path or 'the properties'}")
    return value


def array(path, value):
    """The items of an array, each with its pointer."""
    if not isinstance(value, list):
        raise wrong_type(path, "an array", value)
    return [(pointer(path, i), item) for i, item in enumerate(value)]


def string(path, value, pattern=None, advice=""):
    """A string, which has the form of `pattern` where one is given; `advice` says which that is."""
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)
    if pattern is not None and not re.fullmatch(pattern, value):
        raise Invalid(path, f"{json.dumps(value)[:80]} at {path} {advice}")
    return value


def boolean(path, value):
    """True or false."""
    if not isinstance(value, bool):
        raise wrong_type(path, "true or false", value)
    return value


_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def duration_ms(path, value):
    """A duration as Go writes it, such as "90s" or "1h30m", in milliseconds."""
    text = string(path, value, r"(\d{1,9}(\.\d{1,9})?(ms|s|m|h))+", 'is no duration; write it as "90s", "10m" or "1h30m"')
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def wrong_type(path, expected, value):
    """The error for a value that is of another type than it should be."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    found = names.get(type(value), "an object")
    return Invalid(path, f"expected {expected} at {path or 'the properties'}, found {found}")
