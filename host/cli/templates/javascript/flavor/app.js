// {{NAME}}: a flavor plugin for homeostat.
//
// As it was written for you, it gives each instance a host name: `GROUP-1.DOMAIN`, `GROUP-2.DOMAIN`, or its logical id.
// That is `hostname.js`. This file is what the host calls.
//
// What stands outside of functions runs when the component is built, not when it is called.

import { answering } from "./faults.js";
import * as hostname from "./hostname.js";

export const meta = {
  describePlugin: () => ({
    name: "{{NAME}}",
    version: "0.1.0",
    summary: "Gives each instance a host name",
    propertiesSchema: JSON.stringify(hostname.SCHEMA),
    propertiesExample: JSON.stringify(hostname.EXAMPLE),
  }),
};

export const flavor = answering({
  validate(properties, allocation) {
    hostname.domain(properties);
  },

  /** The same arguments give the same answer: whatever is read here must not change between two calls. */
  prepare(properties, spec, allocation, index) {
    const line = hostname.init(properties, index.group, index.sequence, spec.logicalId);
    // This flavor's part is added to what other parts of the spec ask for, which stays.
    return { ...spec, init: `${line}\n${spec.init}` };
  },

  /** One report for each instance, in the order given. */
  health(properties, instances) {
    return instances.map((it) => hostname.HEALTH[it.state]);
  },

  drain(properties, instance) {
    // Nothing to do.
  },
});
