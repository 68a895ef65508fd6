/** files.json of a server: what is accepted says the same in our own words. */
import { formatServedFiles, parseServedFiles } from "../../../src/bundle/served-files.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { golden } from "../seeds.js";
import { ACCEPTED, refusalOf, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

const sizes = new Map([...golden].map(([name, { length }]) => [name, length]));

export const servedFiles: Target = {
  name: "served-files",
  share: 0.3,
  codes: codes("SERVER_ANSWER"),
  seeds: [Buffer.from(formatServedFiles("ab".repeat(32), sizes))],
  words: [...jsonWords, ...words('"files"', '"size": 0', "../", "bundle.json", "approvals/qa-", "docs/a")],
  mutations: [jsonValues],
  run(bytes) {
    const refusal = refusalOf(() => {
      const said = parseServedFiles(bytes, "it");
      const ours = Buffer.from(formatServedFiles(said.sha256, said.sizes));
      const again = parseServedFiles(ours, "it");
      requireSame(Buffer.from(formatServedFiles(again.sha256, again.sizes)), ours, "it says the same again");
    });
    return refusal === undefined ? ACCEPTED : [refusal];
  },
};
