// Host names: what the properties are, and what `prepare` makes of them.

import { invalid, readObject } from "./faults.js";

/** The host checks every spec against this before it calls `validate`. */
export const SCHEMA = {
  type: "object",
  required: ["Domain"],
  additionalProperties: false,
  properties: { Domain: { type: "string", description: "What follows the name of an instance" } },
};

export const EXAMPLE = { Domain: "example.org" };

/** How an instance is that is in this state. What cannot be told is unknown, which changes nothing. */
export const HEALTH = {
  running: { status: "healthy", message: "" },
  pending: { status: "unknown", message: "it is not usable yet" },
  stopping: { status: "unknown", message: "it is on its way out" },
  stopped: { status: "unhealthy", message: "it does not run" },
  failed: { status: "unhealthy", message: "it does not run" },
};

/** The domain, where the properties are as they should be: what the schema says, and what it cannot say. */
export function domain(text) {
  const { Domain } = readObject(text, ["Domain"]);
  if (typeof Domain !== "string" || !isHost(Domain)) {
    throw invalid("/Domain", 'Domain holds labels of letters, digits and `-`, with dots between them: "example.org"');
  }
  return Domain;
}

/** The line for the start of an instance's script. */
export function init(text, group, sequence, logicalId) {
  const host = `${logicalId ?? `${group}-${sequence}`}.${domain(text)}`;
  // Nobody's shell should read more than a name here.
  if (!isHost(host)) {
    throw invalid("", `${JSON.stringify(host.slice(0, 200))} is no host name; name the group in letters, digits, \`-\``);
  }
  return `hostname ${host}`;
}

/** Whether all labels of a host name are as RFC 1123 wants them. */
function isHost(name) {
  return name.length <= 253 && name.split(".").every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label));
}
