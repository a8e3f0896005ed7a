// Health and draining, with requests that go nowhere.

import assert from "node:assert/strict";
import { test } from "node:test";

import { flavor } from "../src/flavor.js";

const instance = (other) => ({
  id: "i-1",
  name: "web-1",
  logicalId: undefined,
  state: "running",
  message: "",
  createdAtMs: undefined,
  addresses: ["10.0.0.1"],
  tags: [["infrakit.group", "web"]],
  ...other,
});

/** A flavor whose requests have these outcomes, and the requests that it sent. */
function played(...outcomes) {
  const sent = [];
  const exchange = (requests) => {
    sent.push(...requests);
    return requests.map(() => outcomes.shift());
  };
  return { sent, ...flavor(exchange) };
}

const health = (properties, instances, ...outcomes) =>
  played(...outcomes).health(JSON.stringify({ Port: 8080, ...properties }), instances);

test("an instance is asked at its first address", () => {
  const { sent, health } = played({ status: 200, text: "" }, { status: 200, text: "" });
  const properties = JSON.stringify({ Port: 8080, Scheme: "https", Path: "/ready?full", Timeout: "5s" });
  health(properties, [instance({ addresses: ["10.0.0.1", "web-1"] }), instance({ addresses: ["fd00::1"] })]);
  assert.deepEqual(sent.map((it) => [it.method, it.scheme, it.authority, it.path, it.timeoutMs]), [
    ["get", "https", "10.0.0.1:8080", "/ready?full", 5_000],
    ["get", "https", "[fd00::1]:8080", "/ready?full", 5_000],
  ]);
});

test("Host says where an instance is, where the provider does not", () => {
  for (const [host, it, authority] of [
    ["{name}.example.org", instance({ addresses: [] }), "web-1.example.org:8080"],
    ["{logical-id}", instance({ logicalId: "10.0.0.7" }), "10.0.0.7:8080"],
    ["{logical-id}", instance({ logicalId: "fd00::1" }), "[fd00::1]:8080"],
    ["localhost", instance({ addresses: [] }), "localhost:8080"],
  ]) {
    const { sent, health } = played({ status: 200, text: "" });
    health(JSON.stringify({ Port: 8080, Host: host }), [it]);
    assert.equal(sent[0].authority, authority);
  }
  const [report] = health({ Host: "{logical-id}" }, [instance()]);
  assert.equal(report.status, "unknown");
  assert.ok(report.message.includes("no value for {logical-id}"), report.message);
});

test("the answer decides", () => {
  for (const [properties, outcome, status, says] of [
    [{}, { status: 204, text: "" }, "healthy", ""],
    [{}, { status: 301, text: "" }, "unhealthy", "GET http://10.0.0.1:8080/: status 301 where 200 to 299 is expected"],
    [{ Status: [200, 503] }, { status: 503, text: "" }, "healthy", ""],
    [{ Status: [200] }, { status: 204, text: "" }, "unhealthy", "status 204 where 200 is expected"],
    [{ Contains: "ready" }, { status: 200, text: "I am ready." }, "healthy", ""],
    [{ Contains: "ready" }, { status: 200, text: "soon" }, "unhealthy", 'does not contain "ready"'],
    [{}, { failure: "connection-refused" }, "unhealthy", "the connection was refused"],
    [{}, { failure: "timeout" }, "unhealthy", "no answer in time"],
    [{}, { failure: "TLS-certificate-error" }, "unhealthy", "not trusted"],
  ]) {
    const [report] = health(properties, [instance()], outcome);
    assert.equal(report.status, status);
    assert.ok(report.message.includes(says), report.message);
  }
});

test("an instance that cannot be judged is unknown", () => {
  for (const [failure, says] of [
    ["HTTP-request-denied", "grant it to this plugin under Grants.Http"],
    ["destination-IP-prohibited", "grant it"],
    ["DNS-error", "could not be asked: DNS-error"],
    ["connection-limit-reached", "could not be asked"],
    ["internal-error", "could not be asked"],
    ["not-sent", "took all the time"],
  ]) {
    const [report] = health({}, [instance()], { failure });
    assert.equal(report.status, "unknown", failure);
    assert.ok(report.message.includes(says), report.message);
  }
  assert.equal(health({}, [instance({ addresses: [] })])[0].status, "unknown");
});

test("what does not run is not asked, and each report is at its instance's place", () => {
  const states = ["failed", "running", "pending", "stopped", "running", "stopping"];
  const instances = states.map((state) => instance({ state, message: "m" }));
  const reports = health({}, instances, { status: 200, text: "" }, { status: 500, text: "" });
  assert.deepEqual(
    reports.map((it) => it.status),
    ["unhealthy", "healthy", "unknown", "unhealthy", "unhealthy", "unhealthy"],
  );
  assert.deepEqual([reports[0].message, reports[3].message], ["it failed: m", "it is stopped: m"]);
});

test("what fails while it is young is unknown", () => {
  const aged = (ms) => instance({ createdAtMs: BigInt(Date.now() - ms) });
  const status = (it) => health({ Grace: "1m" }, [it], { status: 500, text: "" })[0].status;
  assert.equal(status(aged(30_000)), "unknown");
  assert.equal(status(aged(90_000)), "unhealthy");
  assert.equal(status(instance()), "unhealthy", "of an age that the provider does not tell");
});

const drain = (url, it, outcome) => {
  const { sent, drain } = played(outcome);
  drain(JSON.stringify({ Port: 8080, Drain: { Url: url, Timeout: "5s" } }), it);
  return sent;
};

test("the hook is told which instance", () => {
  const [request] = drain("http://lb:81/drain/{id}?at={address}", instance({ id: "a/b c" }), { status: 200, text: "" });
  assert.deepEqual(
    [request.method, request.scheme, request.authority, request.path, request.timeoutMs],
    ["post", "http", "lb:81", "/drain/a%2Fb%20c?at=10.0.0.1", 5_000],
  );
  const body = JSON.parse(request.body);
  assert.deepEqual(body, { ID: "a/b c", Name: "web-1", Addresses: ["10.0.0.1"], Tags: { "infrakit.group": "web" } });
  const [own] = drain("https://{address}:8080", instance({ addresses: ["fd00::1"] }), { status: 204, text: "" });
  assert.deepEqual([own.scheme, own.authority, own.path], ["https", "[fd00::1]:8080", "/"]);
});

test("a hook that is the instance itself is not called where it does not run", () => {
  for (const other of [{ state: "stopped" }, { state: "pending" }, { addresses: [] }]) {
    assert.deepEqual(drain("http://{address}/drain", instance(other)), []);
  }
  assert.equal(drain("http://lb/drain", instance({ state: "stopped" }), { status: 200, text: "" }).length, 1);
  played().drain('{"Port": 8080}', instance());
});

test("what the hook answers is the outcome", () => {
  for (const status of [200, 204, 404, 410]) drain("http://lb/", instance(), { status, text: "" });
  for (const [outcome, code] of [
    [{ status: 500, text: "" }, "unavailable"],
    [{ failure: "connection-refused" }, "unavailable"],
    [{ failure: "timeout" }, "internal"],
    [{ failure: "HTTP-request-denied" }, "permission-denied"],
  ]) {
    assert.throws(() => drain("http://lb/", instance(), outcome), (error) => error.code === code);
  }
});
