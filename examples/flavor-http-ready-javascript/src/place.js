// Where an instance is reached: patterns with {address}, {name}, {logical-id} and {id}.

const VALUES = {
  "address": (instance) => instance.addresses[0],
  "name": (instance) => instance.name || undefined,
  "logical-id": (instance) => instance.logicalId,
  "id": (instance) => instance.id,
};

export const PLACEHOLDERS = Object.keys(VALUES).map((name) => `{${name}}`);

/** What stands in braces, or opens one, and is no placeholder; undefined where there is none. */
export function strangePlaceholder(pattern) {
  return pattern.match(/\{[^}]*\}?/g)?.find((it) => !PLACEHOLDERS.includes(it));
}

/** The pattern with an instance's values, each passed through `encode`; undefined where it has none for one of them. */
export function fill(pattern, instance, encode = (value) => value) {
  const missing = pattern.match(/\{[^}]*\}/g)?.some((it) => VALUES[it.slice(1, -1)](instance) === undefined);
  return missing ? undefined : pattern.replace(/\{([^}]*)\}/g, (_, name) => encode(VALUES[name](instance)));
}

/** Host and port, as they stand in a URL. */
export function authority(host, port) {
  const bracketed = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return port === undefined ? bracketed : `${bracketed}:${port}`;
}
