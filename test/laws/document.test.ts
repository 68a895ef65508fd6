/**
 * Whoever holds the right key can sign what they like; still any one value of the document changed, with everything that
 * follows from it made to fit, is refused, unless it is a claim that nothing in a bundle can prove. Those are listed here.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { BundleDocument } from "../../src/generated/types.js";
import type { SecretKey } from "../../src/nix/signature.js";
import { verify } from "../../src/ops/verify.js";
import { packGood } from "../hostile/battle.js";
import type { Victim } from "../hostile/victim.js";
import { testContext } from "../support/bundle.js";
import type { Packed } from "../support/packed.js";
import { trusting } from "../support/trust.js";

let packed: Packed;
let good: Victim;
let packer: SecretKey;
let work: string;

beforeAll(async () => {
  ({ packed, good, packer } = await packGood());
  work = mkdtempSync(join(tmpdir(), "airgap-laws-"));
});
afterAll(() => {
  packed.remove();
  rmSync(work, { recursive: true, force: true });
});

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What stands in a value's place: some of another kind, some that fit the schema. */
function others(value: Json, key: string): Json[] {
  if (value === null)
    return ["x", 1, `/nix/store/${"0".repeat(32)}-x`, "0".repeat(40), `/nix/store/${"0".repeat(32)}-x.drv`];
  if (typeof value === "boolean") return [!value];
  if (typeof value === "number")
    return [value + 1, Math.max(0, value - 1), 0].filter((other) => other !== value);
  if (Array.isArray(value))
    return value.length === 0 ? [["x"]] : [value.slice(1), value.slice(0, -1), [], [...value, value[0]!]];
  if (typeof value === "object") return [];
  const changed: Json[] = [
    value.replace(/[0-9a-z](?=[^0-9a-z]*$)/, (c) => (c === "0" ? "1" : "0")),
    `${value}x`,
    "",
  ];
  const hash = /^(\/nix\/store\/.{5})(.)(.*)$/s.exec(value);
  if (hash !== null) changed.push(`${hash[1]}${hash[2] === "0" ? "1" : "0"}${hash[3]}`);
  if (key === "narHash") changed.push(`sha256-${"A".repeat(43)}=`);
  if (key === "tier") changed.push("runtime", "build");
  if (key === "purpose") changed.push("evaluation", "output");
  if (key === "method") changed.push("wrapper");
  if (key === "deriver") changed.push(null);
  if (key === "cause") changed.push("fetched", "import-from-derivation");
  if (key === "system") changed.push("aarch64-linux");
  return changed.filter((other) => other !== value);
}

interface Place {
  /** `flake.rev`, `paths[].narHash`: places that are alike have one name. */
  readonly name: string;
  readonly keys: readonly (string | number)[];
}

function* placesIn(value: Json, keys: readonly (string | number)[] = [], name = ""): Generator<Place> {
  yield { name, keys };
  if (Array.isArray(value)) {
    for (const [i, entry] of value.entries()) yield* placesIn(entry, [...keys, i], `${name}[]`);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, entry] of Object.entries(value)) {
      yield* placesIn(entry, [...keys, key], name === "" ? key : `${name}.${key}`);
    }
  }
}

function at(document: Json, keys: readonly (string | number)[]): Json {
  return keys.reduce((value: Json, key) => (value as { [key: string]: Json })[key]!, document);
}

/** One path of each kind, and all that there is besides paths. `ALL=1` takes every path. */
function* chosenPlaces(document: BundleDocument): Generator<Place> {
  const seen = new Set<string>();
  const chosen = document.paths.map(({ kinds, ca, cause }) => {
    const alike = `${kinds} ${ca?.replace(/[^:]*$/, "")} ${cause}`;
    return process.env["ALL"] === "1" || (!seen.has(alike) && seen.add(alike) !== undefined);
  });
  for (const place of placesIn(document as unknown as Json)) {
    const [first, second] = place.keys;
    // What follows from the rest is made anew, right again.
    if (first === undefined || first === "totals") continue;
    if (first !== "paths" || second === undefined || chosen[Number(second)]) yield place;
  }
}

/** What no byte of a bundle can prove: who made it from what, and when. Evaluation on site is what shows some of it. */
const CLAIMS = [
  "created",
  "features", // those of 1.0 again, with its VERIFY.md
  "flake.lastModified",
  "flake.ref",
  "flake.rev",
  "flake.revCount",
  "flake.submodules",
  "flake.url",
  "minimumNix",
  "product",
  "release",
  "roots[].attr",
  "sequence",
  "tools.nix",
  "tools.nixAirgap",
];
/** Nobody needs to have signed a path, or to say which derivation built it. */
const OPTIONAL = ["paths[].deriver", "paths[].signatures"];

it("any value of the document, changed and signed, is refused, but for what only people can know", async () => {
  const accepted = new Map<string, Json>();
  for (const { name, keys } of chosenPlaces(good.document)) {
    const last = keys.at(-1)!;
    for (const other of others(at(good.document as unknown as Json, keys), String(last))) {
      const victim = good.clone();
      (at(victim.document as unknown as Json, keys.slice(0, -1)) as { [key: string]: Json })[last] = other;
      try {
        if (!name.startsWith("paths[].signatures")) victim.signPaths(packer);
        victim.forge(packer);
      } catch {
        // What cannot even be laid out: the document alone is signed.
        victim.forgeText(`${JSON.stringify(sorted(victim.document as unknown as Json), null, 2)}\n`, packer);
      }
      const options = { documentOnly: false, allowExtra: false };
      const report = await verify(
        victim.write(work, "tar"),
        { ...options, trust: trusting(packer) },
        testContext(),
      );
      if (report.verdict === "verified") accepted.set(name, other);
      else expect([name, other, report.findings.length > 0]).toEqual([name, other, true]);
    }
  }
  expect([...accepted.keys()].sort(), JSON.stringify([...accepted])).toEqual([...CLAIMS, ...OPTIONAL].sort());
});

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([key, entry]) => [key, sorted(entry)]),
  );
}
