// The granted directory. Components have no `node:fs`: WASI's own functions stand in for it.
//
// What fails throws the name of one of WASI's error codes, such as "no-entry", as the error's `payload`.

import { getDirectories } from "wasi:filesystem/preopens@0.2.0";

// The longest file that is read, and how much of it at once.
const MAX_FILE = 16 << 20;
const CHUNK = 1 << 20;

/** The directory that was granted under this name, or undefined. */
export function granted(name) {
  const found = getDirectories().find(([, guest]) => guest === name);
  return found && new Directory(found[0]);
}

class Directory {
  #root;

  constructor(root) {
    this.#root = root;
  }

  /** The names of what is in a folder, `"."` for the directory itself. */
  names(path) {
    return opened(this.#root.openAt({}, path, { directory: true }, { read: true }), (folder) =>
      opened(folder.readDirectory(), (stream) => {
        const names = [];
        for (let entry; (entry = stream.readDirectoryEntry()); ) names.push(entry.name);
        return names;
      }),
    );
  }

  makeFolder(path) {
    this.#root.createDirectoryAt(path);
  }

  /** Write a new file; fails with "exist" where there is one. */
  write(path, text) {
    const flags = { create: true, exclusive: true };
    opened(this.#root.openAt({}, path, flags, { write: true }), (file) => {
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length; ) at += Number(file.write(bytes.subarray(at, at + CHUNK), BigInt(at)));
      // Or a power failure leaves a name without its content.
      file.sync();
    });
  }

  read(path) {
    return opened(this.#root.openAt({}, path, {}, { read: true }), (file) => {
      const decoder = new TextDecoder("utf-8", { fatal: true });
      let text = "";
      for (let at = 0, end = false; !end; ) {
        let bytes;
        [bytes, end] = file.read(BigInt(CHUNK), BigInt(at));
        at += bytes.length;
        if (at > MAX_FILE) throw failure("file-too-large");
        text += decoder.decode(bytes, { stream: true });
      }
      return text + decoder.decode();
    });
  }

  exists(path) {
    try {
      opened(this.#root.openAt({}, path, {}, { read: true }), () => {});
      return true;
    } catch (error) {
      return error.payload !== "no-entry";
    }
  }

  rename(from, to) {
    this.#root.renameAt(from, this.#root, to);
  }

  link(from, to) {
    this.#root.linkAt({}, from, this.#root, to);
  }

  removeFile(path) {
    this.#root.unlinkFileAt(path);
  }

  removeFolder(path) {
    this.#root.removeDirectoryAt(path);
  }
}

/** Use a handle and give it back: the host lets a call have so many. */
function opened(handle, use) {
  try {
    return use(handle);
  } finally {
    handle[Symbol.dispose ?? Symbol.for("dispose")]();
  }
}

function failure(code) {
  return Object.assign(new Error(code), { payload: code });
}
