/** The journal of a signing that was cut off: applied whole, or not at all. The tar it completes is tar.ts's. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { completeSignature } from "../../../src/bundle/set-approvals.js";
import { tarBytes } from "../../../src/bundle/tar.js";
import { formatHex, hashOf } from "../../../src/nix/hash.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { documents } from "./material.js";
import { lazy, scratch } from "./scratch.js";

const journalTar = tarBytes([
  ["bundle.json", documents[0]!.subarray(0, 600)],
  ["roots.txt", Buffer.from("x\n")],
  ["index.json", Buffer.from("{}\n")],
]);
const journalHead = `nix-airgap-tail 1 2560 ${formatHex(hashOf("sha256", documents[0]!.subarray(0, 600)))}\n`;

export const journal: Target = {
  name: "journal",
  share: 0.02,
  codes: codes("TAIL_INVALID"),
  seeds: [
    Buffer.concat([Buffer.from(journalHead), tarBytes([["index.json", Buffer.from("[]\n")]])]),
    Buffer.from(journalHead),
  ],
  words: words("nix-airgap-tail 1 ", "\n", " 0 ", " 512 ", " 1536 ", " 2560 ", " 9007199254740993 "),
  mutations: [],
  async run(bytes) {
    const path = journalPath();
    writeFileSync(path, journalTar);
    writeFileSync(`${path}.tail`, bytes);
    try {
      requireLaw(await completeSignature(path), "a journal that is there is applied, or refused");
    } catch (error) {
      requireSame(readFileSync(path), journalTar, "a refused journal changes nothing");
      throw error;
    }
    const end = bytes.indexOf("\n");
    const cut = Number(bytes.toString("latin1", 0, end).split(" ")[2]);
    requireSame(
      readFileSync(path),
      Buffer.concat([journalTar.subarray(0, cut), bytes.subarray(end + 1)]),
      "the tar ends in the journal's tail",
    );
    requireLaw(cut <= journalTar.length && !existsSync(`${path}.tail`), "an applied journal is gone");
    return ACCEPTED;
  },
};

const journalPath = lazy(() => join(scratch(), "bundle.tar"));
