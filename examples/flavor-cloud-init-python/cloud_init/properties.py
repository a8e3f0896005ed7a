"""What the user declared, read strictly: the first thing that is wrong is named, with where it is."""

from dataclasses import dataclass

from cloud_init import placeholders
from cloud_init.placeholders import Place
from cloud_init.reading import Invalid, array, boolean, duration_ms, object_of, parse, pointer, string

_LINES = {"type": "array", "items": {"type": "string"}}

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "description": "Placeholders in all strings: {{group}}, {{sequence}}, {{logical-id}}; {{{{ stands for {{",
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        "Hostname": {"type": "string", "description": "Default: the logical id, or {{group}}-{{sequence}}"},
        "AuthorizedKeys": {**_LINES, "description": "Public keys that may log in as the image's own user"},
        "Users": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["Name"],
                "additionalProperties": False,
                "properties": {
                    "Name": {"type": "string"},
                    "Groups": _LINES,
                    "Shell": {"type": "string", "description": "Default: /bin/bash"},
                    "Sudo": {"type": "boolean", "description": "Whether it may do all with sudo, without a password"},
                    "AuthorizedKeys": _LINES,
                },
            },
        },
        "Packages": {**_LINES, "description": "To install from the distribution"},
        "Files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["Path", "Content"],
                "additionalProperties": False,
                "properties": {
                    "Path": {"type": "string", "description": "Absolute"},
                    "Content": {"type": "string"},
                    "Mode": {"type": "string", "description": "Octal, such as 0644, which is the default"},
                    "Owner": {"type": "string", "description": "USER:GROUP; default: root:root"},
                },
            },
        },
        "Run": {
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {**_LINES, "minItems": 1}]},
            "description": "Commands at first boot: a line for the shell, or a list of words",
        },
        "BootTimeout": {
            "type": "string",
            "description": 'How long an instance may be pending before it is unhealthy; default: "10m"',
        },
    },
}

EXAMPLE = {
    "Hostname": "{{group}}-{{sequence}}.example.org",
    "Users": [
        {
            "Name": "ops",
            "Sudo": True,
            "AuthorizedKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ops@example.org"],
        }
    ],
    "Packages": ["nginx"],
    "Files": [{"Path": "/var/www/html/index.html", "Content": "I am number {{sequence}} of {{group}}.\n"}],
    "Run": ["systemctl enable --now nginx"],
    "BootTimeout": "5m",
}

DEFAULT_BOOT_TIMEOUT_MS = 600_000

_USER = (r"[a-z_][a-z0-9_-]{0,31}", "is no user name: begin with a-z or _, then up to 31 of a-z 0-9 _ -")
_KEY = (r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?", "is no public key; it is one line such as `ssh-ed25519 AAAA... name`")
_PATH = (r"/[^\0]*[^/\0]", "is no absolute path of a file")
_MODE = (r"0?[0-7]{3,4}", "is no mode; write it in octal, as in 0644")
_OWNER = (r"[a-z_][a-z0-9_-]*(:[a-z_][a-z0-9_-]*)?", "is no owner; write it as USER:GROUP")
_PACKAGE = (r"[A-Za-z0-9][A-Za-z0-9+._:~=/-]*", "is no name of a package")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# An address is no name: what follows the last dot is not all digits.
_HOST = (
    rf"(?=.{{1,253}}$)(?!.*\.\d+$){_LABEL}(\.{_LABEL})*",
    "is no host name, which is labels of 1 to 63 letters, digits and `-`, with dots between them; set Hostname",
)


@dataclass(frozen=True)
class Properties:
    """What was declared, as it stands: JSON of the form of [SCHEMA], with its placeholders."""

    declared: dict
    boot_timeout_ms: int


@dataclass(frozen=True)
class Size:
    """A group of so many alike."""

    count: int


@dataclass(frozen=True)
class LogicalIds:
    """A group of one instance for each identity."""

    ids: tuple


def read(text):
    """Read the JSON text of the properties; `null` declares nothing."""
    value = parse(text)
    declared = object_of("", {} if value is None else value, tuple(SCHEMA["properties"]))
    _types(declared)
    timeout = declared.get("BootTimeout")
    boot_timeout_ms = DEFAULT_BOOT_TIMEOUT_MS if timeout is None else duration_ms("/BootTimeout", timeout)
    return Properties(declared, boot_timeout_ms)


def _types(declared):
    """Check the types of all that was declared, so that what follows may rely on them."""
    if "Hostname" in declared:
        string("/Hostname", declared["Hostname"])
    for name in ("AuthorizedKeys", "Packages"):
        _strings(f"/{name}", declared.get(name, []))
    for path, user in array("/Users", declared.get("Users", [])):
        object_of(path, user, tuple(SCHEMA["properties"]["Users"]["items"]["properties"]), ("Name",))
        for name, value in user.items():
            check = {"Sudo": boolean, "Groups": _strings, "AuthorizedKeys": _strings}.get(name, string)
            check(pointer(path, name), value)
    for path, file in array("/Files", declared.get("Files", [])):
        object_of(path, file, tuple(SCHEMA["properties"]["Files"]["items"]["properties"]), ("Path", "Content"))
        for name, value in file.items():
            string(pointer(path, name), value)
    for path, command in array("/Run", declared.get("Run", [])):
        if isinstance(command, str):
            continue
        if not isinstance(command, list) or not command:
            raise Invalid(path, f'expected a command at {path}: a line for the shell, or words, as in ["ls", "-l"]')
        _strings(path, command)


def _strings(path, value):
    for item_path, item in array(path, value):
        string(item_path, item)


def filled(properties, place):
    """What was declared, for one instance: placeholders filled in, and each value checked for what it has to be."""
    declared = {
        name: placeholders.fill_all(f"/{name}", value, place)
        for name, value in properties.declared.items()
        if name != "BootTimeout"
    }
    default = place.logical_id if place.logical_id is not None else f"{place.group}-{place.sequence}"
    declared["Hostname"] = string("/Hostname", declared.get("Hostname", default), *_HOST)
    _forms(array("/AuthorizedKeys", declared.get("AuthorizedKeys", [])), _KEY)
    _forms(array("/Packages", declared.get("Packages", [])), _PACKAGE)
    names = set()
    for path, user in array("/Users", declared.get("Users", [])):
        name = string(pointer(path, "Name"), user["Name"], *_USER)
        if name in names:
            raise Invalid(pointer(path, "Name"), f"there are two users `{name}`")
        names.add(name)
        _forms(array(pointer(path, "Groups"), user.get("Groups", [])), _USER)
        _forms(array(pointer(path, "AuthorizedKeys"), user.get("AuthorizedKeys", [])), _KEY)
        string(pointer(path, "Shell"), user.get("Shell", "/bin/bash"), *_PATH)
    for path, file in array("/Files", declared.get("Files", [])):
        string(pointer(path, "Path"), file["Path"], *_PATH)
        string(pointer(path, "Mode"), file.get("Mode", "0644"), *_MODE)
        string(pointer(path, "Owner"), file.get("Owner", "root:root"), *_OWNER)
    return declared


def _forms(items, form):
    for path, item in items:
        string(path, item, *form)


def check(properties, allocation):
    """Check that the properties suit the group: they can be filled in, and no two instances get the same host name."""
    # The group's id is not known yet; `prepare` checks with the real one.
    if isinstance(allocation, Size):
        places = [Place("group", number, None) for number in range(1, min(allocation.count, 2) + 1)]
    else:
        places = [Place("group", number, name) for number, name in enumerate(allocation.ids, 1)]
    # Also for a group of none: what is wrong is wrong before the first instance.
    hosts = {}
    for place in places or [Place("group", 1, None if isinstance(allocation, Size) else "logical-id")]:
        host = filled(properties, place)["Hostname"]
        if host.lower() in hosts:
            other = hosts[host.lower()]
            which = f"`{other.logical_id}` and `{place.logical_id}`" if place.logical_id else "all instances"
            advice = "use {{sequence}} or {{logical-id}}"
            raise Invalid("/Hostname", f"{which} would have the host name `{host}`; {advice}")
        hosts[host.lower()] = place
