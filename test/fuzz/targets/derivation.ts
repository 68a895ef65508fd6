/** The .drv, and what is taken from one: outputs' paths, references, structured attributes. JSON is json.ts's. */
import { formatDerivation, parseDerivation, structuredAttributes } from "../../../src/nix/derivation.js";
import { DerivationHasher, derivationReferences } from "../../../src/nix/derivation-hash.js";
import { parseStrictJson } from "../../../src/strict-json.js";
import { atermMembers } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { MAX_INPUT } from "../mutate.js";
import { vectors } from "../seeds.js";
import { ACCEPTED, refusalOf, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { allDerivations, releases } from "./material.js";

export const drv: Target = {
  name: "drv",
  share: 1,
  codes: codes("DERIVATION_INVALID", "DERIVATION_UNSUPPORTED"),
  seeds: [
    ...vectors("drv").values(),
    ...releases.flatMap(({ derivations }) =>
      [...derivations.values()].map((each) => Buffer.from(formatDerivation(each))),
    ),
  ],
  words: words(
    "Derive(",
    "DrvWithVersion(",
    '("out","',
    '","","")',
    '"r:sha256"',
    '"text:sha256"',
    '"impure"',
    '[("',
    '"],[',
    '\\"',
    "\\\\",
    "\\n",
    "/nix/store/",
    '.drv",["out"])',
    "__json",
    ")",
    "]",
    ",",
  ),
  mutations: [atermMembers],
  run(bytes) {
    const derivation = parseDerivation(bytes);
    requireSame(formatDerivation(derivation), bytes, "an accepted .drv is what we would write");
    for (const list of [derivation.inputSrcs, ...derivation.inputDrvs.values()]) {
      requireLaw(
        list.every((text, i) => i === 0 || list[i - 1]! < text),
        "lists that are sets are sorted, each member once",
      );
    }
    derivationReferences(derivation);
    const path = `/nix/store/${"0".repeat(32)}-${derivation.env.get("name") ?? "x"}.drv`;
    const lookup = (wanted: string) => (wanted === path ? derivation : allDerivations.get(wanted));
    refusalOf(() => new DerivationHasher(lookup).outputPaths(path));
    const json = structuredAttributes(derivation);
    if (json !== undefined) refusalOf(() => parseStrictJson(json, { maxBytes: MAX_INPUT, fractions: true }));
    return ACCEPTED;
  },
};
