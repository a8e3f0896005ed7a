// {{NAME}}: an instance plugin for homeostat.
//
// As it was written for you, an instance is a folder in the directory that the operator grants as `/instances`. That is
// `store.js`: put your provider in its place. This file is what the host calls.
//
// What stands outside of functions runs when the component is built, not when it is called.

import { answering } from "./faults.js";
import { granted } from "./files.js";
import * as properties from "./properties.js";
import * as store from "./store.js";

export const meta = {
  describePlugin: () => ({
    name: "{{NAME}}",
    version: "0.1.0",
    summary: "Instances as folders in a granted directory",
    propertiesSchema: JSON.stringify(properties.SCHEMA),
    propertiesExample: JSON.stringify(properties.EXAMPLE),
  }),
};

const directory = () => granted(store.INSTANCES);

export const instance = answering({
  validate(text) {
    properties.check(text);
  },

  provision(name, spec) {
    properties.check(spec.properties);
    return store.provision(directory(), name, {
      properties: JSON.parse(spec.properties),
      tags: Object.fromEntries(spec.tags),
      init: spec.init,
      logicalId: spec.logicalId ?? null,
      attachments: spec.attachments.map(({ id, kind }) => ({ id, kind })),
    });
  },

  label(id, tags) {
    store.label(directory(), id, Object.fromEntries(tags));
  },

  destroy(id, reason) {
    store.destroy(directory(), id);
  },

  list({ tags, withProperties, cursor, limit }) {
    const page = store.listPage(directory(), tags, cursor, limit);
    const instances = page.instances.map((it) => ({
      id: it.name,
      name: it.name,
      logicalId: it.logicalId ?? undefined,
      state: "running",
      message: "",
      createdAtMs: BigInt(it.createdAtMs),
      addresses: [],
      tags: Object.entries(it.tags).sort(),
      properties: withProperties ? JSON.stringify(it.properties) : undefined,
    }));
    return { ...page, instances };
  },
});
