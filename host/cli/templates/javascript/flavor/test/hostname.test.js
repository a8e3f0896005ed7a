// Host names, without Wasm.

import assert from "node:assert/strict";
import { test } from "node:test";

import { answering, Fault } from "../faults.js";
import * as hostname from "../hostname.js";

const EXAMPLE = JSON.stringify(hostname.EXAMPLE);

test("an instance is called after its place", () => {
  assert.equal(hostname.init(EXAMPLE, "web", 2, undefined), "hostname web-2.example.org");
  assert.equal(hostname.init(EXAMPLE, "web", 2, "db-primary"), "hostname db-primary.example.org");
});

test("what is wrong is named with its place", () => {
  for (const [text, path] of [
    ["", ""],
    ["[]", ""],
    ["null", "/Domain"],
    ['{"Domain": 1}', "/Domain"],
    ['{"Domain": "a b"}', "/Domain"],
    ['{"Domain": "a\\n"}', "/Domain"],
    ['{"Domain": "a", "b/c": 1}', "/b~1c"],
    ["[".repeat(99_999), ""],
  ]) {
    assert.throws(() => hostname.domain(text), (error) => error.code === "invalid-argument" && error.path === path, text);
  }
});

test("no name is more than a name", () => {
  for (const group of ["a b", "a;reboot", "a".repeat(64), ""]) {
    assert.throws(() => hostname.init(EXAMPLE, group, 1, undefined), Fault);
  }
});

test("whatever is thrown is an error of the contract", async () => {
  const calls = answering({
    fault: () => hostname.domain("{}"),
    bug: () => null.x,
    later: async () => null.x,
  });
  const is = (code) => (error) => error.code === code && !(error instanceof Error);
  assert.throws(calls.fault, is("invalid-argument"));
  assert.throws(calls.bug, is("internal"));
  await assert.rejects(calls.later(), is("internal"));
});
