"""Instances as folders: `NAME/spec.json` is what the instance was made from, `NAME/tags.N.json` what was added later.

The directory is the only memory, and calls may run at the same time or be cut off anywhere. Three rules keep it true:
- a folder is made under a name that begins with a dot, and renamed when it is whole. Of two calls for one name, one
  renames; the other finds the folder;
- a label is a file more, which is linked to its name when it is whole. Nothing is written twice, so nothing is lost;
- a folder is destroyed under another name that begins with a dot: half of an instance is never seen.

Put your provider in the place of this module.
"""

import errno
import itertools
import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path

from faults import Fault

# What the plugin calls the directory of its instances.
INSTANCES = "/instances"

# The grant that it needs, as the operator writes it.
GRANT = 'grant it with "Grants": {"Dirs": [{"Host": "DIRECTORY", "Guest": "/instances", "Mode": "rw"}]}'

# The most instances on a page, whatever the host asks for.
MAX_PAGE = 2_000

# How a folder begins that a call needs for a moment.
HELPER = "."


def provision(root, name, spec):
    """Make the instance `name`, or find it made; answers with its id, which is its name.

    `spec` is made of what JSON knows: `tags` is an object, so that their order means nothing.
    """
    if not is_name(name):
        raise Fault("invalid-argument", f"{name[:200]!r} cannot name an instance: 1 to 128 of A-Z a-z 0-9 . _ -")
    granted(root)
    aside = root / f"{HELPER}new-{secrets.token_hex(8)}"
    try:
        aside.mkdir()
        write(aside / "spec.json", {"created_at_ms": time.time_ns() // 1_000_000, "spec": spec})
        aside.rename(folder(root, name))
        return name
    except OSError as failure:
        # What cannot be removed is in nobody's way.
        shutil.rmtree(aside, ignore_errors=True)
        if failure.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise failed("make", name, failure) from None
    try:
        existing = read(folder(root, name) / "spec.json")["spec"]
    except FileNotFoundError:
        if not folder(root, name).exists():
            raise Fault("aborted", f"another call destroyed `{name}` meanwhile") from None
        raise Fault("already-exists", f"`{name}` is taken by something that is not an instance of this plugin") from None
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise Fault("already-exists", f"`{name}` is taken by something that cannot be read: {failure}") from None
    # As text, since Python takes True for 1.
    if json.dumps(existing, sort_keys=True) != json.dumps(spec, sort_keys=True):
        raise Fault("already-exists", f"`{name}` exists, made from another spec")
    return name


def label(root, name, tags):
    """Add tags to an instance, or overwrite those that are there."""
    granted(root)
    missing = Fault("not-found", f"there is no instance {name[:200]!r}")
    if not is_name(name) or not (folder(root, name) / "spec.json").exists():
        raise missing
    aside = folder(root, name) / f"{HELPER}tags-{secrets.token_hex(8)}"
    try:
        write(aside, tags)
        for number in itertools.count(1):
            try:
                os.link(aside, folder(root, name) / f"tags.{number}.json")
                break
            except FileExistsError:
                continue
    except FileNotFoundError:
        raise missing from None
    except OSError as failure:
        raise failed("label", name, failure) from None
    finally:
        try:
            aside.unlink()
        except OSError:
            pass  # Gone with the instance, or in nobody's way.


def destroy(root, name):
    """Destroy an instance. Succeeds where it is gone."""
    if not is_name(name):
        raise Fault("invalid-argument", f"{name[:200]!r} is not an id that this plugin gives")
    granted(root)
    if not (folder(root, name) / "spec.json").exists():
        if not folder(root, name).exists():
            return
        raise Fault("permission-denied", f"`{name}` in {INSTANCES} is not an instance of this plugin, and is left alone")
    aside = root / f"{HELPER}gone-{secrets.token_hex(8)}"
    try:
        folder(root, name).rename(aside)
    except FileNotFoundError:
        return
    except OSError as failure:
        raise failed("destroy", name, failure) from None
    # The instance is gone. What cannot be removed is in nobody's way.
    shutil.rmtree(aside, ignore_errors=True)


def list_page(root, tags, cursor, limit):
    """One page of the instances that carry these tags, in the order of their names.

    Answers with the instances, the cursor of the next page (the last name that was looked at) or None, whether all that
    is there could be read, and pairs of what was found and not counted.
    """
    if limit < 1:
        raise Fault("invalid-argument", "the limit of a page is 1 or more")
    granted(root)
    try:
        folders = sorted(entry for entry in os.listdir(root) if not entry.startswith(HELPER))
    except OSError as failure:
        raise Fault("internal", f"cannot list {INSTANCES}: {failure}") from None
    instances, complete, findings = [], True, []
    for entry in folders:
        if cursor is not None and entry <= cursor:
            continue
        try:
            instance = look(root / entry, name_of(entry))
            if tags.items() <= instance["tags"].items():
                instances.append(instance)
        except (OSError, ValueError, KeyError, TypeError) as failure:
            # It may have been destroyed since the directory was read.
            if (root / entry).exists():
                # What has a spec may be an instance: then this list cannot say that it knows them all.
                complete = complete and not (root / entry / "spec.json").exists()
                findings.append((entry, f"not an instance: {failure}"))
        if len(instances) == min(limit, MAX_PAGE) and entry != folders[-1]:
            return instances, entry, complete, findings
    return instances, None, complete, findings


def look(path, name):
    """The instance that a folder is: its name, spec and age, and all its tags."""
    if name is None:
        raise ValueError("no instance has such a name")
    record = read(path / "spec.json")
    spec = record["spec"]
    tags = dict(spec["tags"])
    for number in itertools.count(1):
        try:
            tags.update(read(path / f"tags.{number}.json"))
        except FileNotFoundError:
            break
    return {
        "name": name,
        "logical_id": spec["logical_id"],
        "created_at_ms": int(record["created_at_ms"]),
        "tags": tags,
        "properties": spec["properties"],
    }


def folder(root, name):
    """Where an instance is. A name may begin with a dot, a folder's may not: it gets an `@`, which is in no name."""
    return root / (f"@{name}" if name.startswith(HELPER) else name)


def name_of(entry):
    """The name of the instance that a folder would be."""
    name = entry.removeprefix("@")
    return name if is_name(name) and entry.startswith("@") == name.startswith(HELPER) else None


def is_name(name):
    """Whether it may name an instance, which is the contract's rule."""
    return re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name) is not None


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write(path, content):
    with open(path, "x", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        # Or a power failure leaves a name without its content.
        os.fsync(file.fileno())


def granted(root):
    if not Path(root).is_dir():
        raise Fault("permission-denied", f"no directory is granted as {INSTANCES}; {GRANT}")


def failed(doing, name, failure):
    """The error for what the directory did not let us do."""
    if failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        code, hint = "permission-denied", GRANT
    elif failure.errno in (errno.ENOSPC, errno.EDQUOT):
        code, hint = "resource-exhausted", "make room on the disk"
    else:
        code, hint = "internal", "look at the directory"
    return Fault(code, f"cannot {doing} `{name}` in {INSTANCES}: {failure.strerror}; {hint}")
