// Reading what was declared.

import assert from "node:assert/strict";
import { test } from "node:test";

import { answering } from "../src/faults.js";
import { EXAMPLE, read, SCHEMA } from "../src/properties.js";

test("what users write is read", () => {
  const read1 = read(JSON.stringify(EXAMPLE));
  assert.deepEqual([read1.port, read1.path, read1.contains, read1.graceMs], [8080, "/healthz", "ready", 60_000]);
  assert.deepEqual(read1.drain, {
    url: "http://{address}:8080/drain",
    scheme: "http",
    host: "{address}",
    port: "8080",
    path: "/drain",
    timeoutMs: 20_000,
  });
  assert.deepEqual(read('{"Port": 80}'), {
    scheme: "http",
    host: "{address}",
    port: 80,
    path: "/",
    statuses: undefined,
    contains: undefined,
    timeoutMs: 2_000,
    graceMs: 0,
    drain: undefined,
  });
  assert.equal(read('{"Port": 80, "Timeout": "1s500ms"}').timeoutMs, 1_500);
  for (const url of ["https://lb.example.org", "http://[::1]:80/{id}?a={name}", "http://{logical-id}.a:8080/drain"]) {
    assert.equal(read(JSON.stringify({ Port: 1, Drain: { Url: url } })).drain.url, url);
  }
});

test("what is wrong is named with its place", () => {
  for (const [text, path, says] of [
    ["", "", "not JSON"],
    ["null", "", "expected an object"],
    ["[]", "", "expected an object"],
    ["{}", "", "`Port` is missing"],
    ['{"port": 1}', "/port", "did you mean `Port`?"],
    ['{"Port": 1, "a/b~": 1}', "/a~1b~0", "known are"],
    ['{"Port": 1, "Host": "a/b"}', "/Host", "a name or an address"],
    ['{"Port": 1, "Host": "{adress}"}', "/Host", "unknown placeholder `{adress}`; known are {address}"],
    ['{"Port": "80"}', "/Port", "from 1 to 65535"],
    ['{"Port": 65536}', "/Port", "from 1 to 65535"],
    ['{"Port": 1.5}', "/Port", "expected an integer"],
    ['{"Port": 1, "Scheme": "ftp"}', "/Scheme", "https"],
    ['{"Port": 1, "Path": "healthz"}', "/Path", "begins with `/`"],
    ['{"Port": 1, "Path": "/a b"}', "/Path", "visible"],
    ['{"Port": 1, "Path": "/a#b"}', "/Path", "without `#`"],
    ['{"Port": 1, "Path": "/a\\r\\nX: y"}', "/Path", "visible"],
    ['{"Port": 1, "Status": 200}', "/Status", "array"],
    ['{"Port": 1, "Status": []}', "/Status", "one or more"],
    ['{"Port": 1, "Status": [200, 600]}', "/Status/1", "from 100 to 599"],
    ['{"Port": 1, "Contains": 1}', "/Contains", "a string"],
    ['{"Port": 1, "Timeout": "fast"}', "/Timeout", "is no duration"],
    ['{"Port": 1, "Timeout": "31s"}', "/Timeout", "10ms to 30s"],
    ['{"Port": 1, "Grace": 60}', "/Grace", "a string"],
    ['{"Port": 1, "Drain": {}}', "/Drain", "`Url` is missing"],
    ['{"Port": 1, "Drain": {"Url": "lb/drain"}}', "/Drain/Url", "http://"],
    ['{"Port": 1, "Drain": {"Url": "http://u:p@lb/drain"}}', "/Drain/Url", "http://"],
    ['{"Port": 1, "Drain": {"Url": "http://lb/{nam}"}}', "/Drain/Url", "unknown placeholder `{nam}`"],
    ['{"Port": 1, "Drain": {"Url": "http://lb/{id"}}', "/Drain/Url", "unknown placeholder `{id`"],
    ['{"Port": 1, "Drain": {"Url": "http://lb/", "Wait": "1s"}}', "/Drain/Wait", "known are Url, Timeout"],
    ['{"Port": 1, "Drain": {"Url": "http://lb/", "Timeout": "2h"}}', "/Drain/Timeout", "out of range"],
  ]) {
    assert.throws(
      () => read(text),
      (error) => {
        assert.deepEqual([error.code, error.path], ["invalid-argument", path], text);
        assert.ok(error.message.includes(says), `${text}: ${error.message}`);
        return true;
      },
    );
  }
});

test("the schema knows the same names", () => {
  assert.deepEqual(Object.keys(EXAMPLE).filter((name) => !(name in SCHEMA.properties)), []);
  assert.equal(SCHEMA.additionalProperties, false);
  assert.equal(SCHEMA.properties.Drain.additionalProperties, false);
});

test("whatever is thrown is an error of the contract", () => {
  const calls = answering({ fault: () => read("{}"), bug: () => null.x });
  const thrown = (call) => {
    try {
      call();
    } catch (error) {
      return error;
    }
    return undefined;
  };
  assert.equal(thrown(calls.fault).code, "invalid-argument");
  assert.equal(thrown(calls.bug).code, "internal");
  assert.ok(!(thrown(calls.bug) instanceof Error), "an Error would be a trap");
});
