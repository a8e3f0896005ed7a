// Errors as the contract has them.

/** An error with a code of the contract: the code says what the host does next. */
export class Fault extends Error {
  constructor(code, message, path) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

/** The properties can never work as they are; `path` is a JSON Pointer (RFC 6901) to what is wrong. */
export function invalid(path, message) {
  return new Fault("invalid-argument", message, path);
}

/**
 * A trap is never a way to report an error: what these functions throw becomes an error of the contract.
 */
export function answering(functions) {
  const wrap = (call) => (...args) => {
    try {
      return call(...args);
    } catch (error) {
      // What is thrown is the contract's record, not an Error, which would be a trap.
      if (error instanceof Fault) throw { code: error.code, message: error.message, path: error.path };
      console.error(`${error}\n${error?.stack ?? ""}`);
      throw { code: "internal", message: `a fault of the plugin: ${error}; its log has more` };
    }
  };
  return Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, wrap(call)]));
}
