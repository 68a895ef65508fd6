/** Strict JSON, and canonical JSON. What a format makes of it, the file of that format says. */
import { formatJson, parseCanonicalJson } from "../../../src/canonical-json.js";
import { type JsonValue, parseStrictJson } from "../../../src/strict-json.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { MAX_INPUT } from "../mutate.js";
import { golden, vectors } from "../seeds.js";
import { ACCEPTED, refusalOf, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

export const json: Target = {
  name: "json",
  share: 1,
  codes: codes("JSON_INVALID", "JSON_NOT_CANONICAL"),
  seeds: [
    ...words(
      '{"a":[1,-20,"x\\u00e9\\n",true,null],"b":{"c":"\xe2\x82\xac"}}',
      '{\n  "a": [\n    1\n  ],\n  "\xf0\x9f\x98\x80": "\\u007f"\n}\n',
      "[1.5,1e3,-2.5E-2,0]",
      `${"[".repeat(64)}${"]".repeat(64)}`,
    ),
    golden.get("index.json")!,
    ...vectors("locks").values(),
  ],
  words: jsonWords,
  mutations: [jsonValues],
  run(bytes) {
    const caps = { maxBytes: MAX_INPUT };
    const loose = refusalOf(() =>
      requireAsJsonParse(parseStrictJson(bytes, { ...caps, fractions: true }), bytes),
    );
    const strict = refusalOf(() => requireAsJsonParse(parseStrictJson(bytes, caps), bytes));
    requireLaw(loose === undefined || strict !== undefined, "fractions only allow more");
    requireLaw(
      Object.getOwnPropertyNames(Object.prototype).length === PROTOTYPE_NAMES,
      "Object.prototype is as it was",
    );
    if (strict !== undefined) return [strict];
    const printed = formatJson(parseStrictJson(bytes, caps));
    requireSame(
      formatJson(parseCanonicalJson(Buffer.from(printed), { maxBytes: 10 * MAX_INPUT })),
      printed,
      "printing is final",
    );
    parseCanonicalJson(bytes, caps);
    requireSame(printed, bytes, "accepted canonical JSON is what we would write");
    return ACCEPTED;
  },
};

const PROTOTYPE_NAMES = Object.getOwnPropertyNames(Object.prototype).length;

function requireAsJsonParse(value: JsonValue, bytes: Buffer): void {
  const text = bytes.toString();
  requireLaw(JSON.stringify(value) === JSON.stringify(JSON.parse(text)), "strict JSON is JSON");
  // JSON.parse drops a repeated key, and so would we.
  const colons = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(":").length - 1;
  requireLaw(countKeys(value) === colons, "every key counts");
}

function countKeys(value: JsonValue): number {
  if (typeof value !== "object" || value === null) return 0;
  const members = Object.values(value) as JsonValue[];
  return members.reduce<number>(
    (sum, member) => sum + countKeys(member),
    Array.isArray(value) ? 0 : members.length,
  );
}
