// The properties of an instance: a note.

import { invalid, readObject } from "./faults.js";

/** The host checks every spec against this before it calls `validate`. */
export const SCHEMA = {
  type: ["object", "null"],
  additionalProperties: false,
  properties: { Note: { type: "string", description: "A word about the instance" } },
};

export const EXAMPLE = { Note: "hello" };

/** The properties, where they are as they should be: what the schema says, and what it cannot say. */
export function check(text) {
  const value = readObject(text, ["Note"]);
  const note = value.Note ?? "";
  if (typeof note !== "string" || value.Note === null || note.includes("\0")) {
    throw invalid("/Note", "Note is a text without NUL");
  }
  return value;
}
