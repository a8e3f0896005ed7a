// The store, on a real directory.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import * as properties from "../properties.js";
import * as store from "../store.js";
import { directory } from "./directory.js";

let root;
let dir;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "store-"));
  dir = directory(root);
});

afterEach(() => fs.rmSync(root, { recursive: true }));

const spec = (other) => ({
  properties: { Note: "n" },
  tags: { "infrakit.group": "g", tier: "web" },
  init: "",
  logicalId: null,
  attachments: [],
  ...other,
});

const refused = (code, call) => assert.throws(call, (error) => error.code === code);

const names = (tags = []) => {
  const page = store.listPage(dir, tags, undefined, 100);
  assert.deepEqual([page.next, page.complete], [undefined, true]);
  return page.instances.map((it) => it.name);
};

test("a name stands for one instance", () => {
  assert.equal(store.provision(dir, "a", spec()), "a");
  assert.equal(store.provision(dir, "a", spec({ tags: { tier: "web", "infrakit.group": "g" } })), "a");
  refused("already-exists", () => store.provision(dir, "a", spec({ init: "other" })));
  refused("already-exists", () => store.provision(dir, "a", spec({ properties: { Note: "m" } })));
  assert.deepEqual(names(), ["a"]);
  assert.deepEqual(fs.readdirSync(root), ["a"]);
});

test("a label is not another spec", () => {
  store.provision(dir, "a", spec());
  store.label(dir, "a", { tier: "db", x: "1" });
  store.label(dir, "a", { x: "2" });
  store.provision(dir, "a", spec());
  assert.deepEqual(names([["infrakit.group", "g"], ["tier", "db"], ["x", "2"]]), ["a"]);
  assert.deepEqual(names([["x", "1"]]), []);
  assert.deepEqual(names([["constructor", ""]]), []);
  refused("not-found", () => store.label(dir, "b", {}));
  refused("not-found", () => store.label(dir, "../a", {}));
});

test("destroy succeeds where it is gone", () => {
  store.provision(dir, "a", spec());
  store.destroy(dir, "a");
  store.destroy(dir, "a");
  assert.deepEqual(fs.readdirSync(root), []);
  refused("invalid-argument", () => store.destroy(dir, "a/../b"));
});

test("pages hold while instances come and go", () => {
  for (const name of ["a", "b", "c", "d", "..", "."]) store.provision(dir, name, spec());
  const first = store.listPage(dir, [], undefined, 4);
  store.destroy(dir, "a");
  const second = store.listPage(dir, [], first.next, 4);
  const all = [...first.instances, ...second.instances].map((it) => it.name);
  assert.deepEqual(all, [".", "..", "a", "b", "c", "d"]);
  assert.equal(second.next, undefined);
  refused("invalid-argument", () => store.listPage(dir, [], undefined, 0));
});

test("what is not an instance is told and left alone", () => {
  fs.writeFileSync(`${root}/file`, "mine");
  fs.mkdirSync(`${root}/folder`);
  fs.writeFileSync(`${root}/folder/keep`, "");
  const page = store.listPage(dir, [], undefined, 100);
  assert.deepEqual([page.instances, page.complete], [[], true]);
  assert.deepEqual(page.findings.map((it) => it.subject), ["file", "folder"]);
  refused("permission-denied", () => store.destroy(dir, "folder"));
  refused("already-exists", () => store.provision(dir, "file", spec()));
  refused("already-exists", () => store.provision(dir, "folder", spec()));
});

test("what may be an instance makes the list incomplete", () => {
  store.provision(dir, "a", spec());
  fs.writeFileSync(`${root}/a/spec.json`, "{");
  const page = store.listPage(dir, [], undefined, 100);
  assert.deepEqual([page.complete, page.findings[0].subject], [false, "a"]);
});

test("without a grant it says which", () => {
  for (const call of [
    () => store.provision(undefined, "a", spec()),
    () => store.label(undefined, "a", {}),
    () => store.destroy(undefined, "a"),
    () => store.listPage(undefined, [], undefined, 1),
  ]) {
    refused("permission-denied", call);
  }
});

test("what is wrong with the properties is named with its place", () => {
  for (const [text, path] of [
    ["", ""],
    ["[]", ""],
    ['{"Note": 1}', "/Note"],
    ['{"Note": null}', "/Note"],
    ['{"a/b": 1}', "/a~1b"],
    ["[".repeat(99_999), ""],
  ]) {
    assert.throws(() => properties.check(text), (error) => error.code === "invalid-argument" && error.path === path, text);
  }
  assert.deepEqual(properties.check("null"), {});
});
