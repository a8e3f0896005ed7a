// What the user declared, read strictly: the first thing that is wrong is named, with where it is.

import { invalid } from "./faults.js";
import { PLACEHOLDERS, strangePlaceholder } from "./place.js";

/** The host checks every spec against this before it calls `validate`. */
export const SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  required: ["Port"],
  additionalProperties: false,
  properties: {
    Scheme: { enum: ["http", "https"], description: 'Default: "http"' },
    Host: {
      type: "string",
      description: `Whom to ask; ${PLACEHOLDERS.join(", ")} are the instance's; default: "{address}"`,
    },
    Port: { type: "integer", minimum: 1, maximum: 65535 },
    Path: { type: "string", pattern: "^/", description: 'Path and query; default: "/"' },
    Status: {
      type: "array",
      minItems: 1,
      items: { type: "integer", minimum: 100, maximum: 599 },
      description: "What a healthy instance answers with; default: 200 to 299",
    },
    Contains: { type: "string", description: "What stands in the first 64 KiB of the answer" },
    Timeout: { type: "string", description: 'For one answer, 10ms to 30s; default: "2s"' },
    Grace: {
      type: "string",
      description: 'Since an instance was made: what fails so early is unknown, not unhealthy; default: "0s"',
    },
    Drain: {
      type: "object",
      required: ["Url"],
      additionalProperties: false,
      properties: {
        Url: { type: "string", description: "To POST to before an instance is destroyed; placeholders as in Host" },
        Timeout: { type: "string", description: 'Until the work has left, 10ms to 1h; default: "30s"' },
      },
    },
  },
};

export const EXAMPLE = {
  Port: 8080,
  Path: "/healthz",
  Contains: "ready",
  Grace: "1m",
  Drain: { Url: "http://{address}:8080/drain", Timeout: "20s" },
};

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Read the JSON text of the properties. */
export function read(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid("", `the properties are not JSON: ${error.message}`);
  }
  object("", value, SCHEMA);
  const { Scheme = "http", Host = "{address}", Port, Path = "/" } = value;
  const { Status, Contains, Timeout = "2s", Grace = "0s", Drain } = value;
  if (Scheme !== "http" && Scheme !== "https") throw invalid("/Scheme", "Scheme is \"http\" or \"https\"");
  if (!/^([A-Za-z0-9._{}-]+|[0-9A-Fa-f:.]+)$/.test(string("/Host", Host))) {
    throw invalid("/Host", 'Host is a name or an address, as in "{name}.example.org"');
  }
  placeholders("/Host", Host);
  integer("/Port", Port, 1, 65_535);
  if (!/^\/[!-"$-~]*$/.test(string("/Path", Path))) {
    throw invalid("/Path", "Path begins with `/`, and holds visible ASCII characters without `#`; write others as %XX");
  }
  if (Status !== undefined) {
    if (!Array.isArray(Status) || Status.length === 0) {
      throw invalid("/Status", "Status is an array of one or more, as in [200]");
    }
    Status.forEach((it, i) => integer(`/Status/${i}`, it, 100, 599));
  }
  if (Contains !== undefined) string("/Contains", Contains);
  return {
    scheme: Scheme,
    host: Host,
    port: Port,
    path: Path,
    statuses: Status,
    contains: Contains,
    timeoutMs: duration("/Timeout", Timeout, 10, 30_000, "10ms to 30s"),
    graceMs: duration("/Grace", Grace, 0, 86_400_000, "0s to 24h"),
    drain: Drain === undefined ? undefined : readDrain(Drain),
  };
}

function readDrain(value) {
  object("/Drain", value, SCHEMA.properties.Drain);
  const { Url, Timeout = "30s" } = value;
  const form = /^(https?):\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._{}-]+)(?::(\d{1,5}))?([/?][!-"$-~]*)?$/;
  const parts = form.exec(string("/Drain/Url", Url));
  if (!parts) {
    throw invalid("/Drain/Url", 'Url is http:// or https://, a host and a path, as in "http://{address}:8080/drain"');
  }
  placeholders("/Drain/Url", Url);
  const [, scheme, host, port, path = "/"] = parts;
  return {
    url: Url,
    scheme,
    host,
    port,
    path: path.startsWith("/") ? path : `/${path}`,
    timeoutMs: duration("/Drain/Timeout", Timeout, 10, 3_600_000, "10ms to 1h"),
  };
}

function placeholders(path, pattern) {
  const strange = strangePlaceholder(pattern);
  if (strange !== undefined) {
    throw invalid(path, `unknown placeholder \`${strange.slice(0, 40)}\`; known are ${PLACEHOLDERS.join(", ")}`);
  }
}

/** Check that this is an object with the members that a schema lists. */
function object(path, value, schema) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw invalid(path, `expected an object at ${path || "the properties"}`);
  }
  const known = Object.keys(schema.properties);
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const member = `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const near = known.find((it) => it.toLowerCase() === name.toLowerCase());
    const advice = near ? `did you mean \`${near}\`?` : `known are ${known.join(", ")}`;
    throw invalid(member, `unknown property \`${name.slice(0, 40)}\`; ${advice}`);
  }
  for (const name of schema.required) {
    if (!Object.hasOwn(value, name)) throw invalid(path, `\`${name}\` is missing at ${path || "the properties"}`);
  }
}

function string(path, value) {
  if (typeof value !== "string") throw invalid(path, `expected a string at ${path}`);
  return value;
}

function integer(path, value, least, most) {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalid(path, `expected an integer from ${least} to ${most} at ${path}`);
  }
}

/** A duration as Go writes it, such as "90s" or "1m30s", in milliseconds. */
function duration(path, value, least, most, range) {
  const text = string(path, value);
  if (!/^(\d{1,9}(\.\d{1,9})?(ms|s|m|h)){1,8}$/.test(text)) {
    throw invalid(path, `${JSON.stringify(text.slice(0, 40))} is no duration; write it as "500ms", "30s" or "1m30s"`);
  }
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) ms += Number(number) * UNITS[unit];
  if (ms < least || ms > most) throw invalid(path, `${text} at ${path} is out of range, which is ${range}`);
  return ms;
}
