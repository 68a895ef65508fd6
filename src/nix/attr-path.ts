/**
 * Attribute paths as Nix's command line takes them (libexpr/attr-path.cc, `parseAttrPath`): names between dots, where a
 * double quote begins and ends a part in which dots are plain. There are no escapes, so a name with a quote cannot be said.
 */
import { fail } from "../errors.js";

/** The names of a path. @throws AirgapError USAGE for a quote that is not closed */
export function parseAttrPath(text: string): string[] {
  const names = [""];
  let isQuoted = false;
  for (const character of text) {
    if (character === '"') isQuoted = !isQuoted;
    else if (character === "." && !isQuoted) names.push("");
    else names[names.length - 1] += character;
  }
  if (isQuoted) fail("USAGE", { subject: text, expected: "an attribute path whose quotes are closed" });
  return names;
}

/** The path of these names, or null where one of them cannot be said: it holds a quote, or a control character. */
export function formatAttrPath(names: readonly string[]): string | null {
  if (names.some((name) => name === "" || /["\x00-\x1f\x7f]/.test(name))) return null;
  return names.map((name) => (name.includes(".") ? `"${name}"` : name)).join(".");
}
