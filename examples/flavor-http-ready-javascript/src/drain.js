// Draining: a hook that is called before an instance is destroyed, and answers when its work has left.

import { Fault } from "./faults.js";
import { authority, fill } from "./place.js";

/** The call of the hook; undefined where there is nobody to call. */
export function hook({ drain }, instance) {
  if (drain === undefined) return undefined;
  // Where the instance itself is the hook, one that does not run has nothing to leave it.
  const isItself = drain.host.includes("{");
  const host = fill(drain.host, instance);
  if (isItself && (instance.state !== "running" || host === undefined)) return undefined;
  const path = fill(drain.path, instance, encodeURIComponent);
  if (path === undefined) {
    throw new Fault("invalid-argument", `the provider has no value for all that ${drain.url} names`, "/Drain/Url");
  }
  return {
    method: "post",
    scheme: drain.scheme,
    authority: authority(host, drain.port),
    path,
    timeoutMs: drain.timeoutMs,
    headers: { "content-type": "application/json", "user-agent": "homeostat-http-ready" },
    body: JSON.stringify({
      ID: instance.id,
      Name: instance.name,
      LogicalID: instance.logicalId,
      Addresses: instance.addresses,
      Tags: Object.fromEntries(instance.tags),
    }),
  };
}

/** Whether the hook's outcome means that the instance is drained; else the error that it is. */
export function settle({ drain }, { status, failure }) {
  if (failure === "HTTP-request-denied" || failure === "destination-IP-prohibited") {
    throw new Fault("permission-denied", `the host denied POST ${drain.url}; grant it to this plugin under Grants.Http`);
  }
  if (failure === "timeout") {
    const message = `the hook ${drain.url} did not answer in ${drain.timeoutMs / 1000} s, and may still be at work`;
    throw new Fault("internal", `${message}; let Drain.Timeout be longer than draining takes`);
  }
  if (failure !== undefined) throw new Fault("unavailable", `the hook ${drain.url} cannot be called: ${failure}`);
  // What the hook does not know, or knows to be gone, has no work.
  if ((status >= 200 && status <= 299) || status === 404 || status === 410) return;
  throw new Fault("unavailable", `the hook ${drain.url} answered with status ${status}`);
}
