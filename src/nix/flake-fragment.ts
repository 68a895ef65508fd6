/** The fragment of a flake reference (`REF#attr`): Nix decodes percent-encoding there. */
import { fail } from "../errors.js";

/** An attribute path as a fragment. */
export function formatFragment(attr: string): string {
  return attr.split(".").map(encodeURIComponent).join(".");
}

/** The attribute path that a fragment names. @throws AirgapError USAGE for an escape that is none */
export function parseFragment(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    return fail("USAGE", { subject: `#${text}`, expected: "an attribute, with % written as %25" }, { cause });
  }
}
