// Errors as the contract has them, and reading the properties.

// What nests deeper is refused before anything recurses into it: a guest's stack is small.
const MAX_DEPTH = 64;

/**
 * An error with a code of the contract, such as "not-found": the code says what the host does next.
 *
 * `path` is for "invalid-argument": a JSON Pointer (RFC 6901) to the member that is wrong, `""` for the whole.
 */
export class Fault extends Error {
  constructor(code, message, path) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

/** The properties can never work as they are. */
export function invalid(path, message) {
  return new Fault("invalid-argument", message, path);
}

/** The JSON Pointer of a member. */
export function pointer(parent, member) {
  return `${parent}/${member.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** The value of a JSON text. */
export function parse(text) {
  let depth = 0;
  // Strings are matched first, so that brackets in them do not count.
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"?|[[{]|[\]}]/gs)) {
    if (token === "[" || token === "{") depth += 1;
    if (token === "]" || token === "}") depth -= 1;
    if (depth > MAX_DEPTH) throw invalid("", `the properties are nested more than ${MAX_DEPTH} deep`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid("", `the properties are not JSON: ${error.message}`);
  }
}

/** The properties as an object with no other members than these; `null` is an empty one. */
export function readObject(text, known) {
  const value = parse(text);
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw invalid("", "the properties are an object, as in {}");
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      const shown = name.slice(0, 40);
      throw invalid(pointer("", name), `unknown property \`${shown}\`; known are ${known.join(", ")}`);
    }
  }
  return value;
}

/**
 * A trap is never a way to report an error: what these functions throw becomes an error of the contract.
 * They may be async.
 */
export function answering(functions) {
  const wrap = (call) => (...args) => {
    try {
      const answer = call(...args);
      return answer instanceof Promise ? answer.catch(raise) : answer;
    } catch (error) {
      return raise(error);
    }
  };
  return Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, wrap(call)]));
}

/** Throw the contract's record for an error. An Error itself would be a trap. */
function raise(error) {
  if (error instanceof Fault) throw { code: error.code, message: error.message, path: error.path };
  console.error(`${error}\n${error?.stack ?? ""}`);
  throw { code: "internal", message: `a fault of the plugin: ${error}; its log has more` };
}
