// Health: what to ask an instance, and what its answer means.

import { authority, fill } from "./place.js";

// Failures that tell of the instance: nobody listens, or does not speak HTTP. All others (the host denied the request, a
// name does not resolve, too many requests) tell nothing of it.
const DOWN = {
  "timeout": "no answer in time",
  "connection-refused": "the connection was refused",
  "connection-terminated": "the connection was cut off",
  "connection-timeout": "no connection in time",
  "connection-read-timeout": "no answer in time",
  "HTTP-response-timeout": "no answer in time",
  "HTTP-response-incomplete": "the answer stopped midway",
  "HTTP-protocol-error": "the answer is not HTTP",
  "TLS-protocol-error": "it does not speak TLS",
  "TLS-certificate-error": "its certificate is not trusted",
  "TLS-alert-received": "it refused TLS",
};

const DENIED = ["HTTP-request-denied", "destination-IP-prohibited"];

const unknown = (message) => ({ status: "unknown", message });
const unhealthy = (message) => ({ status: "unhealthy", message });

/** What an instance's state says of its health; undefined where it has to be asked. */
export function byState(properties, instance) {
  const because = instance.message ? `: ${instance.message}` : "";
  if (instance.state === "pending") return unknown(`not running yet${because}`);
  if (instance.state === "failed") return unhealthy(`it failed${because}`);
  if (instance.state !== "running") return unhealthy(`it is ${instance.state}${because}`);
  if (fill(properties.host, instance) === undefined) {
    return unknown(`there is no telling where to ask it: the provider has no value for ${properties.host}; see Host`);
  }
  return undefined;
}

/** The request that asks an instance. */
export function question(properties, instance) {
  return {
    method: "get",
    scheme: properties.scheme,
    authority: authority(fill(properties.host, instance), properties.port),
    path: properties.path,
    timeoutMs: properties.timeoutMs,
    headers: { "user-agent": "homeostat-http-ready" },
  };
}

/** What the outcome of asking says of an instance. */
export function byOutcome(properties, instance, outcome, nowMs) {
  const found = verdict(properties, outcome);
  if (found.status === "healthy") return found;
  const { scheme, authority: at, path } = question(properties, instance);
  const message = `GET ${scheme}://${at}${path}: ${found.message}`;
  const ageMs = instance.createdAtMs === undefined ? Infinity : nowMs - Number(instance.createdAtMs);
  if (found.status === "unhealthy" && ageMs < properties.graceMs) return unknown(`${message}; still in its Grace`);
  return { status: found.status, message };
}

function verdict({ statuses, contains }, { status, text, failure }) {
  if (DENIED.includes(failure)) return unknown("the host denied it; grant it to this plugin under Grants.Http");
  if (failure === "not-sent") return unknown("not asked: the instances before it took all the time there is");
  if (failure !== undefined) return DOWN[failure] ? unhealthy(DOWN[failure]) : unknown(`it could not be asked: ${failure}`);
  const expected = statuses ? statuses.includes(status) : status >= 200 && status <= 299;
  if (!expected) return unhealthy(`status ${status} where ${statuses ? statuses.join(" or ") : "200 to 299"} is expected`);
  if (contains !== undefined && !text.includes(contains)) {
    return unhealthy(`the answer does not contain ${JSON.stringify(contains)}`);
  }
  return { status: "healthy", message: "" };
}
