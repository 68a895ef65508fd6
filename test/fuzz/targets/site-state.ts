/** What a site remembers: what is accepted prints back to the same bytes. */
import { formatState, newState, parseState, withRelease } from "../../../src/trust/site-state.js";
import { sampleDocument } from "../../support/document.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

const [NOW, SHA] = ["2026-11-25T12:00:00Z", "ab".repeat(32)];
const fresh = newState({ sha256: SHA, version: 1 }, NOW);

export const siteState: Target = {
  name: "site-state",
  share: 0.4,
  codes: codes("STATE_INVALID"),
  seeds: [fresh, withRelease(fresh, sampleDocument(), SHA, NOW)].map((state) =>
    Buffer.from(formatState(state)),
  ),
  words: [...jsonWords, ...words('"products"', '"accepted"', '"sequence": 0', "2026-02-30T00:00:00Z")],
  mutations: [jsonValues],
  run(bytes) {
    const refusal = refusalOf(() =>
      requireSame(
        Buffer.from(formatState(parseState(bytes, "it"))),
        bytes,
        "an accepted state is what we would write",
      ),
    );
    return refusal === undefined ? ACCEPTED : [refusal];
  },
};
