// The Wasm side: the contract's functions, with real requests.

import { answering } from "./faults.js";
import { flavor as flavorWith } from "./flavor.js";
import { exchange } from "./http.js";
import { EXAMPLE, SCHEMA } from "./properties.js";

export const meta = {
  describePlugin: () => ({
    name: "flavor-http-ready",
    version: "0.1.0",
    summary: "Healthy is what answers over HTTP as expected; a hook is called before an instance goes",
    propertiesSchema: JSON.stringify(SCHEMA),
    propertiesExample: JSON.stringify(EXAMPLE),
  }),
};

export const flavor = answering(flavorWith(exchange));
