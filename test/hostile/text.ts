/** Attacks on what is read as text: JSON that two readers take for two things, lines within lines, hostile names. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { narinfoName } from "../../src/bundle/layout.js";
import { rawHeader } from "./archive.js";
import {
  type Attack,
  attacks,
  type DirectoryAttack,
  directoryAttacks,
  type TarAttack,
  tarAttacks,
} from "./attack.js";

/** Texts that a lax reader takes; `good` is a whole JSON object in the format's encoding. */
const LAX_JSON: readonly (readonly [what: string, make: (good: string) => string | Buffer])[] = [
  ["a key twice", (good) => good.replace("{\n", '{\n  "product": "other",\n')],
  ["__proto__ as a key", (good) => good.replace("{\n", '{\n  "__proto__": {},\n')],
  ["__proto__ as a key, escaped", (good) => good.replace("{\n", '{\n  "\\u005f_proto__": {},\n')],
  ["an integer over 2^53", (good) => good.replace(/: [1-9][0-9]*/, ": 9007199254740993")],
  ["a fraction", (good) => good.replace(/: ([1-9][0-9]*)/, ": $1.0")],
  ["an exponent", (good) => good.replace(/: ([1-9][0-9]*)/, ": $1e0")],
  ["a million levels", () => "[".repeat(1_000_000)],
  ["a lone surrogate", (good) => good.replace(/": "/, '": "\\ud800')],
  ["a byte order mark", (good) => `\ufeff${good}`],
  ["trailing data", (good) => `${good}{}`],
  ["a NUL at the end", (good) => `${good}\0`],
  ["bytes that are no UTF-8", (good) => Buffer.from(good.replace(/": "/, '": "\xff'), "latin1")],
  ["a comment", (good) => good.replace("{\n", "{ // yes\n")],
  ["a comma too many", (good) => good.replace(/\n\}\n$/, ",\n}\n")],
  ["nothing", () => ""],
];

export const TEXT: readonly (Attack | DirectoryAttack | TarAttack)[] = [
  ...attacks(
    "16 JSON",
    ...LAX_JSON.map(
      ([what, make]) =>
        [
          `a signed document with ${what}`,
          10,
          "JSON_INVALID",
          (victim, { packer }) => victim.forgeText(make(victim.get("bundle.json").toString()), packer),
        ] as Parameters<typeof attacks>[1],
    ),
    ...LAX_JSON.map(
      ([what, make]) =>
        [
          `an approval with ${what}`,
          12,
          /million/.test(what) ? ["APPROVAL_MISSING", "FILE_TOO_LARGE"] : "APPROVAL_MALFORMED",
          (victim) => {
            const name = victim.name(/^approvals\//);
            victim.files.set(name, Buffer.from(make(victim.get(name).toString()) as string));
          },
        ] as Parameters<typeof attacks>[1],
    ).filter(([name]) => !/over 2|fraction|exponent/.test(name)), // an approval has no number
    ...LAX_JSON.map(
      ([what, make]) =>
        [
          `an index with ${what}`,
          11,
          "INDEX_MANIFEST",
          (victim) =>
            victim.files.set("index.json", Buffer.from(make(victim.get("index.json").toString()) as string)),
        ] as Parameters<typeof attacks>[1],
    ),
  ),
  ...attacks(
    "18 lines",
    [
      "a newline in a content address, signed",
      10,
      "DOCUMENT_SCHEMA",
      (victim, { packer }) =>
        victim.forgeText(
          victim.get("bundle.json").toString().replace('"ca": "fixed:', '"ca": "fixed:\\nSig: a:b'),
          packer,
        ),
    ],
    [
      "a carriage return in a signature, signed",
      10,
      "DOCUMENT_SCHEMA",
      (victim, { packer }) => {
        victim.path(/^stamp$/).signatures = [`packer-1:\r${"A".repeat(86)}==`];
        victim.forgeText(`${textOf(victim.document)}`, packer);
      },
    ],
    [
      "a newline in a store path, signed",
      10,
      "DOCUMENT_SCHEMA",
      (victim, { packer }) =>
        victim.forgeText(
          victim
            .get("bundle.json")
            .toString()
            .replace(/-stamp"/, '-stamp\\nURL: x"'),
          packer,
        ),
    ],
    [
      "a line more in a narinfo",
      11,
      "DERIVED_DIFFERS",
      (victim) =>
        victim.edit(narinfoName(victim.path(/^stamp$/).storePath), (text) => `${text}System: evil\n`),
    ],
    [
      "a narinfo more",
      11,
      "FILE_UNLISTED",
      (victim) =>
        victim.files.set(
          `${"0".repeat(32)}.narinfo`,
          victim.get(narinfoName(victim.path(/^stamp$/).storePath)),
        ),
    ],
    [
      "a line more in nix-cache-info",
      11,
      "DERIVED_DIFFERS",
      (victim) => victim.edit("nix-cache-info", (text) => `${text}StoreDir: /evil\n`),
    ],
    [
      "Windows line ends in the list of roots",
      11,
      "DERIVED_DIFFERS",
      (victim) => victim.edit("roots.txt", (text) => text.replaceAll("\n", "\r\n")),
    ],
  ),
  ...directoryAttacks(
    "19 names",
    [
      "a file named like a formula",
      10,
      "NAME_ILLEGAL",
      (bundle) => writeFileSync(join(bundle, "=cmd()"), ""),
    ],
    ["a file named like a tag", 10, "NAME_ILLEGAL", (bundle) => writeFileSync(join(bundle, "<script>"), "")],
    [
      "a file whose name clears the screen",
      10,
      "NAME_ILLEGAL",
      (bundle) => writeFileSync(join(bundle, "\x1b[2J\x1b]0;owned\x07\r\n\u202e.txt"), ""),
    ],
    [
      "a folder whose name is no UTF-8",
      10,
      "NAME_ILLEGAL",
      (bundle) => mkdirSync(Buffer.from(`${bundle}/docs/\xff\xfe`, "latin1")),
    ],
  ),
  ...tarAttacks("19 names", [
    "a member whose name clears the screen",
    10,
    "TAR_HEADER",
    (tar) =>
      Buffer.concat([
        tar.subarray(0, -1024),
        rawHeader({ name: "\x1b[2J\x1b]0;owned\x07" }),
        tar.subarray(-1024),
      ]),
  ]),
];

function textOf(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}
