// The flavor, which is given `exchange`: what sends requests.

import { hook, settle } from "./drain.js";
import { byOutcome, byState, question } from "./judge.js";
import { read } from "./properties.js";

// The time for one call of `health`. The host ends a call after a minute, and then knows of no instance at all.
const HEALTH_BUDGET_MS = 40_000;

export function flavor(exchange) {
  return {
    validate(properties, allocation) {
      read(properties);
    },

    /** The health of an instance is all that this flavor is about: what runs on it is declared elsewhere. */
    prepare(properties, spec, allocation, index) {
      read(properties);
      return spec;
    },

    health(text, instances) {
      const properties = read(text);
      const reports = instances.map((it) => byState(properties, it));
      const asked = [...instances.keys()].filter((i) => reports[i] === undefined);
      const outcomes = exchange(asked.map((i) => question(properties, instances[i])), HEALTH_BUDGET_MS);
      const nowMs = Date.now();
      asked.forEach((i, at) => (reports[i] = byOutcome(properties, instances[i], outcomes[at], nowMs)));
      return reports;
    },

    drain(text, instance) {
      const properties = read(text);
      const request = hook(properties, instance);
      if (request === undefined) return;
      const [outcome] = exchange([request], request.timeoutMs);
      settle(properties, outcome);
    },
  };
}
