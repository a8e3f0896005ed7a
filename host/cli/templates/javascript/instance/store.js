// Instances as folders: `NAME/spec.json` is what the instance was made from, `NAME/tags.N.json` what was added later.
//
// The directory is the only memory, and calls may run at the same time or be cut off anywhere. Three rules keep it true:
// - a folder is made under a name that begins with a dot, and renamed when it is whole. Of two calls for one name, one
//   renames; the other finds the folder;
// - a label is a file more, which is linked to its name when it is whole. Nothing is written twice, so nothing is lost;
// - a folder is destroyed under another name that begins with a dot: half of an instance is never seen.
//
// Put your provider in the place of this module.

import { Fault } from "./faults.js";

/** What the plugin calls the directory of its instances. */
export const INSTANCES = "/instances";

/** The grant that it needs, as the operator writes it. */
const GRANT = 'grant it with "Grants": {"Dirs": [{"Host": "DIRECTORY", "Guest": "/instances", "Mode": "rw"}]}';

/** The most instances on a page, whatever the host asks for. */
const MAX_PAGE = 2_000;

/** How a folder begins that a call needs for a moment. */
const HELPER = ".";

/**
 * Make the instance `name`, or find it made; answers with its id, which is its name.
 *
 * `spec` is made of what JSON knows: `tags` is an object, so that their order means nothing.
 */
export function provision(dir, name, spec) {
  if (!isName(name)) {
    throw new Fault("invalid-argument", `${shown(name)} cannot name an instance: 1 to 128 of A-Z a-z 0-9 . _ -`);
  }
  checkGrant(dir);
  const aside = `${HELPER}new-${unique()}`;
  try {
    dir.makeFolder(aside);
    writeJson(dir, `${aside}/spec.json`, { createdAtMs: Date.now(), spec });
    dir.rename(aside, folder(name));
    return name;
  } catch (error) {
    removeAll(dir, aside);
    if (!["exist", "not-empty", "not-directory"].includes(error.payload)) throw failed("make", name, error);
  }
  let existing;
  try {
    existing = readJson(dir, `${folder(name)}/spec.json`).spec;
  } catch (error) {
    if (error.payload === "no-entry" && !dir.exists(folder(name))) {
      throw new Fault("aborted", `another call destroyed \`${name}\` meanwhile`);
    }
    const why = error.payload ?? error.message;
    throw new Fault("already-exists", `\`${name}\` is taken by something that is not an instance of this plugin: ${why}`);
  }
  if (canonical(existing) !== canonical(spec)) {
    throw new Fault("already-exists", `\`${name}\` exists, made from another spec`);
  }
  return name;
}

/** Add tags to an instance, or overwrite those that are there. */
export function label(dir, name, tags) {
  checkGrant(dir);
  const missing = new Fault("not-found", `there is no instance ${shown(name)}`);
  if (!isName(name) || !dir.exists(`${folder(name)}/spec.json`)) throw missing;
  const aside = `${folder(name)}/${HELPER}tags-${unique()}`;
  try {
    writeJson(dir, aside, tags);
    for (let number = 1; !tryLink(dir, aside, `${folder(name)}/tags.${number}.json`); ) number += 1;
  } catch (error) {
    throw error.payload === "no-entry" ? missing : failed("label", name, error);
  } finally {
    // Where it is not there any more, it is gone with the instance.
    attempt(() => dir.removeFile(aside));
  }
}

function tryLink(dir, from, to) {
  try {
    dir.link(from, to);
    return true;
  } catch (error) {
    if (error.payload === "exist") return false;
    throw error;
  }
}

/** Destroy an instance. Succeeds where it is gone. */
export function destroy(dir, name) {
  if (!isName(name)) throw new Fault("invalid-argument", `${shown(name)} is not an id that this plugin gives`);
  checkGrant(dir);
  if (!dir.exists(`${folder(name)}/spec.json`)) {
    if (!dir.exists(folder(name))) return;
    const message = `\`${name}\` in ${INSTANCES} is not an instance of this plugin, and is left alone`;
    throw new Fault("permission-denied", message);
  }
  const aside = `${HELPER}gone-${unique()}`;
  try {
    dir.rename(folder(name), aside);
  } catch (error) {
    if (error.payload === "no-entry") return;
    throw failed("destroy", name, error);
  }
  // The instance is gone. What cannot be removed is in nobody's way.
  removeAll(dir, aside);
}

/**
 * One page of the instances that carry these tags, in the order of their names: `next` is the last name that was looked
 * at, `complete` whether all that is there could be read, `findings` what was found and not counted.
 */
export function listPage(dir, tags, cursor, limit) {
  if (limit < 1) throw new Fault("invalid-argument", "the limit of a page is 1 or more");
  checkGrant(dir);
  let folders;
  try {
    folders = dir.names(".").filter((entry) => !entry.startsWith(HELPER) && (cursor === undefined || entry > cursor));
  } catch (error) {
    throw new Fault("internal", `cannot list ${INSTANCES}: ${error.payload ?? error.message}`);
  }
  folders.sort();
  const page = { instances: [], next: undefined, complete: true, findings: [] };
  for (const [at, entry] of folders.entries()) {
    try {
      const instance = look(dir, entry);
      if (tags.every(([key, value]) => Object.hasOwn(instance.tags, key) && instance.tags[key] === value)) {
        page.instances.push(instance);
      }
    } catch (error) {
      // It may have been destroyed since the directory was read.
      if (dir.exists(entry)) {
        // What has a spec may be an instance: then this list cannot say that it knows them all.
        page.complete &&= error.payload === "not-directory" || !dir.exists(`${entry}/spec.json`);
        page.findings.push({ subject: entry, message: `not an instance: ${error.payload ?? error.message}` });
      }
    }
    if (page.instances.length === Math.min(limit, MAX_PAGE) && at + 1 < folders.length) {
      page.next = entry;
      break;
    }
  }
  return page;
}

/** The instance that a folder is: its name, spec and age, and all its tags. */
function look(dir, entry) {
  const name = nameOf(entry);
  if (name === undefined) throw new Error("no instance has such a name");
  const { createdAtMs, spec } = readJson(dir, `${entry}/spec.json`);
  const instance = { name, createdAtMs, logicalId: spec.logicalId, properties: spec.properties, tags: { ...spec.tags } };
  for (let number = 1; ; number += 1) {
    try {
      Object.assign(instance.tags, readJson(dir, `${entry}/tags.${number}.json`));
    } catch (error) {
      if (error.payload === "no-entry") return instance;
      throw error;
    }
  }
}

/** Where an instance is. A name may begin with a dot, a folder's may not: it gets an `@`, which is in no name. */
function folder(name) {
  return name.startsWith(HELPER) ? `@${name}` : name;
}

/** The name of the instance that a folder would be. */
function nameOf(entry) {
  const name = entry.startsWith("@") ? entry.slice(1) : entry;
  return isName(name) && entry === folder(name) ? name : undefined;
}

/** Whether it may name an instance, which is the contract's rule. */
function isName(name) {
  return /^[A-Za-z0-9._-]{1,128}$/.test(name);
}

/** JSON with the members of objects in order, so that equal values are equal texts. */
function canonical(value) {
  return JSON.stringify(value, (_, it) =>
    it !== null && typeof it === "object" && !Array.isArray(it) ? Object.fromEntries(Object.entries(it).sort()) : it,
  );
}

function readJson(dir, path) {
  return JSON.parse(dir.read(path));
}

function writeJson(dir, path, value) {
  dir.write(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** Remove a folder of a call and the files in it, as far as possible: what stays is in nobody's way. */
function removeAll(dir, path) {
  attempt(() => dir.names(path).forEach((name) => attempt(() => dir.removeFile(`${path}/${name}`))));
  attempt(() => dir.removeFolder(path));
}

function attempt(action) {
  try {
    action();
  } catch {
    // The caller said that it makes no difference.
  }
}

function checkGrant(dir) {
  if (!dir) throw new Fault("permission-denied", `no directory is granted as ${INSTANCES}; ${GRANT}`);
}

/** The error for what the directory did not let us do. */
function failed(doing, name, error) {
  if (error.payload === undefined) throw error;
  const denied = ["access", "not-permitted", "read-only"].includes(error.payload);
  const full = ["insufficient-space", "quota"].includes(error.payload);
  const code = denied ? "permission-denied" : full ? "resource-exhausted" : "internal";
  const hint = denied ? GRANT : full ? "make room on the disk" : "look at the directory";
  return new Fault(code, `cannot ${doing} \`${name}\` in ${INSTANCES}: ${error.payload}; ${hint}`);
}

function shown(name) {
  return JSON.stringify(name.slice(0, 200));
}

/** A word that no other call has. */
function unique() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
