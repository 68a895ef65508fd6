/** Policies and states of other versions of their format: that is said, before their schema names the symptoms. */
import type { Details } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";
import { isJsonObject, type JsonValue } from "../strict-json.js";

const KNOWN = "1.0";

/** Null where it is of the version that this program knows, or says none: that is the schema's. */
export function otherVersion(value: JsonValue, format: string): Details | null {
  if (!isJsonObject(value) || value["format"] !== format) return null;
  const { formatVersion } = value;
  if (typeof formatVersion !== "string" || formatVersion === KNOWN) return null;
  return {
    expected: `formatVersion ${KNOWN}`,
    actual: excerpt(formatVersion),
    hint: "Use a newer nix-airgap: this one does not know that version of the format.",
  };
}
