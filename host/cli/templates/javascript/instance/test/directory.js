// What `files.js` is in a component, on this machine's files: for the tests.

import fs from "node:fs";

const CODES = {
  EEXIST: "exist",
  ENOENT: "no-entry",
  ENOTEMPTY: "not-empty",
  ENOTDIR: "not-directory",
  EISDIR: "is-directory",
};

export function directory(root) {
  const translate = (call) => (...args) => {
    try {
      return call(...args);
    } catch (error) {
      throw Object.assign(error, { payload: CODES[error.code] ?? "io" });
    }
  };
  const calls = {
    names: (path) => fs.readdirSync(`${root}/${path}`),
    makeFolder: (path) => fs.mkdirSync(`${root}/${path}`),
    write: (path, text) => fs.writeFileSync(`${root}/${path}`, text, { flag: "wx" }),
    read: (path) => fs.readFileSync(`${root}/${path}`, "utf8"),
    exists: (path) => fs.existsSync(`${root}/${path}`),
    rename: (from, to) => fs.renameSync(`${root}/${from}`, `${root}/${to}`),
    link: (from, to) => fs.linkSync(`${root}/${from}`, `${root}/${to}`),
    removeFile: (path) => fs.unlinkSync(`${root}/${path}`),
    removeFolder: (path) => fs.rmdirSync(`${root}/${path}`),
  };
  return Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, translate(call)]));
}
