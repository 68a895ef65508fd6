/** The index.json of a bundle whose every other file is right. The whole bundle is bundle.ts's. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { contentsOf } from "../../../src/bundle/contents.js";
import { checkDerived } from "../../../src/bundle/inventory.js";
import { openMedium } from "../../../src/bundle/medium.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { golden } from "../seeds.js";
import { ACCEPTED, requireLaw } from "./laws.js";
import { codes, words } from "./lists.js";
import { approvals, documents, jsonWords, release } from "./material.js";
import { signedFolder } from "./signed-bundle.js";

export const index: Target = {
  name: "index",
  share: 0.02,
  codes: codes("INDEX_MANIFEST", "FILE_TOO_LARGE"),
  seeds: [
    golden.get("index.json")!,
    contentsOf(release.document, documents[0]!, approvals).files.get("index.json") as Buffer,
  ],
  words: [...jsonWords, ...words('"manifests"', '"digest"', '"sha256:')],
  mutations: [jsonValues],
  async run(bytes) {
    const { dir, contents } = await signedFolder();
    writeFileSync(join(dir, "index.json"), bytes);
    const { medium } = await openMedium(dir, { allowExtra: false });
    const { findings } = await checkDerived(medium, contents, {
      equal: new Set(),
      signal: new AbortController().signal,
    });
    if (findings.length > 0) return findings;
    const { manifests } = JSON.parse(bytes.toString()) as { manifests: { digest?: string }[] };
    requireLaw(
      manifests.every((each) => each?.digest === contents.manifest?.digest),
      "an accepted index names the manifest, and nothing else",
    );
    return ACCEPTED;
  },
};
