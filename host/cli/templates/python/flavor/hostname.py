"""Host names: what the properties are, and what `prepare` makes of them."""

import re

from faults import invalid, read_object

# The host checks every spec against this before it calls `validate`.
SCHEMA = {
    "type": "object",
    "required": ["Domain"],
    "additionalProperties": False,
    "properties": {"Domain": {"type": "string", "description": "What follows the name of an instance"}},
}

EXAMPLE = {"Domain": "example.org"}

# How an instance is that is in this state. What cannot be told is unknown, which changes nothing.
HEALTH = {
    "running": ("healthy", ""),
    "pending": ("unknown", "it is not usable yet"),
    "stopping": ("unknown", "it is on its way out"),
    "stopped": ("unhealthy", "it does not run"),
    "failed": ("unhealthy", "it does not run"),
}


def domain(text):
    """The domain, where the properties are as they should be: what the schema says, and what it cannot say."""
    value = read_object(text, ("Domain",)).get("Domain")
    if not isinstance(value, str) or not is_host(value):
        raise invalid("/Domain", 'Domain holds labels of letters, digits and `-`, with dots between them: "example.org"')
    return value


def init(text, group, sequence, logical_id):
    """The line for the start of an instance's script."""
    name = f"{group}-{sequence}" if logical_id is None else logical_id
    host = f"{name}.{domain(text)}"
    # Nobody's shell should read more than a name here.
    if not is_host(host):
        raise invalid("", f"{host[:200]!r} is no host name; name the group in letters, digits, `-`")
    return f"hostname {host}"


def is_host(name):
    """Whether all labels of a host name are as RFC 1123 wants them."""
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return len(name) <= 253 and re.fullmatch(rf"{label}(\.{label})*", name) is not None
