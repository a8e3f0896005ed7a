"""cloud-init's user data.

The document is JSON under the line `#cloud-config`: YAML 1.1 takes JSON in, and there is one way only to quote a string.
What JSON may hold as it is and YAML may not (control characters, its line breaks beyond ASCII) is escaped.
"""

import json
import re

# A script that was in Init before this flavor came is kept in this file, and run before all else.
EARLIER_INIT = "/var/lib/homeostat/init"

_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def render(declared, init):
    """The user data for what was declared, its placeholders filled in, and for the script that was there before."""
    host, _, domain = declared["Hostname"].partition(".")
    config = {"hostname": host}
    if domain:
        config["fqdn"] = declared["Hostname"]
    keys = declared.get("AuthorizedKeys", [])
    if keys:
        config["ssh_authorized_keys"] = keys
    if declared.get("Users"):
        # To list users leaves out the image's own one, unless it is listed too.
        config["users"] = (["default"] if keys else []) + [_user(user) for user in declared["Users"]]
    if declared.get("Packages"):
        config["package_update"] = True
        config["packages"] = declared["Packages"]
    files = [_file(file) for file in declared.get("Files", [])]
    commands = declared.get("Run", [])
    if init:
        files.insert(0, {"path": EARLIER_INIT, "content": init, "permissions": "0700", "owner": "root:root"})
        # Where a script does not say what runs it, the shell does.
        commands = [[EARLIER_INIT] if init.startswith("#!") else ["/bin/sh", EARLIER_INIT], *commands]
    if files:
        config["write_files"] = files
    if commands:
        config["runcmd"] = commands
    text = json.dumps(config, ensure_ascii=False, indent=2)
    return f"#cloud-config\n{_NOT_IN_YAML.sub(_escape, text)}\n"


def _escape(found):
    return f"\\u{ord(found[0]):04x}"


def _user(user):
    rendered = {"name": user["Name"], "shell": user.get("Shell", "/bin/bash"), "lock_passwd": True}
    if user.get("Groups"):
        rendered["groups"] = user["Groups"]
    if user.get("Sudo"):
        rendered["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    if user.get("AuthorizedKeys"):
        rendered["ssh_authorized_keys"] = user["AuthorizedKeys"]
    return rendered


def _file(file):
    return {
        "path": file["Path"],
        "content": file["Content"],
        "permissions": file.get("Mode", "0644"),
        "owner": file.get("Owner", "root:root"),
    }
