/** The index of a bundle's parts, which nobody signs: what is accepted prints back to the same bytes, and names parts alone. */
import { formatPartsIndex, parsePartsIndex, partName } from "../../../src/bundle/parts-index.js";
import type { PartsIndex } from "../../../src/generated/types.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

const TAR = "pump.tar";

function indexOf(sizes: readonly number[]): PartsIndex {
  return {
    bundle: "b".repeat(64),
    format: "nix-airgap-parts",
    parts: sizes.map((size, i) => ({
      name: partName(TAR, i + 1, sizes.length),
      sha256: "c".repeat(64),
      size,
    })),
    product: "pump",
    release: "1.4.0",
    size: sizes.reduce((sum, size) => sum + size, 0),
    version: "1.0",
  };
}

export const partsIndex: Target = {
  name: "parts-index",
  share: 0.4,
  codes: codes("PARTS_INDEX_INVALID", "VERSION_UNSUPPORTED"),
  seeds: [[1], [10, 10, 3], [5, 5]].map((sizes) => Buffer.from(formatPartsIndex(indexOf(sizes)))),
  words: [...jsonWords, ...words("../pump.tar.001", "pump.tar.0001", '"size": 0', '"version": "2.0"')],
  mutations: [jsonValues],
  run(bytes) {
    const refusal = refusalOf(() => {
      const index = parsePartsIndex(bytes, TAR);
      const printed = Buffer.from(formatPartsIndex(index));
      requireSame(printed, bytes, "an accepted index is what we would write");
      for (const { name } of index.parts) {
        if (!/^pump\.tar\.[0-9]{3,4}$/.test(name)) throw new Error(`a part named ${name}`);
      }
    });
    return refusal === undefined ? ACCEPTED : [refusal];
  },
};
