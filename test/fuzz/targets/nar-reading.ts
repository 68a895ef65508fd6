/**
 * The one pass over a NAR: hashes, references and captured files do not depend on how it is cut. The law of the NAR
 * itself is nar.ts's.
 */
import { NarReading, type NarRequest } from "../../../src/host/nar-reading.js";
import { formatSri, hashOf } from "../../../src/nix/hash.js";
import { ReferenceScanner } from "../../../src/nix/references.js";
import type { Target } from "../fuzz.js";
import { pieces, requireLaw } from "./laws.js";
import { releases } from "./material.js";
import { narMaterial } from "./nar-material.js";

export const narReading: Target = {
  ...narMaterial,
  name: "nar-reading",
  share: 0.5,
  run(bytes) {
    if (bytes.length === 0) return [{ code: "NAR_TRUNCATED" }];
    const request: NarRequest = {
      subject: "it",
      narHash: formatSri(hashOf("sha256", bytes)),
      narSize: bytes.length,
      scan: true,
      contentHash:
        bytes.length % 2 === 0
          ? { method: "flat", algorithm: "sha1" }
          : { method: "nar", algorithm: "sha256", selfHashPart: hashParts[0]! },
      capture: ["", "flake.nix", "flake.lock", "a"],
      findPrebuilt: true,
    };
    const read = (list: Iterable<Buffer>) => {
      const reading = new NarReading(request, scanner);
      for (const piece of list) requireLaw(reading.update(piece), "a NAR of its own size is read to its end");
      const { findings, narHash, contents } = reading.finish(true);
      const captured = [...(contents?.captured ?? [])].map(([path, file]) => [
        path,
        file && Buffer.from(file).toString("hex"),
      ]);
      return { findings, answer: JSON.stringify({ findings, narHash, contents, captured }) };
    };
    const whole = read([bytes]);
    requireLaw(read(pieces(bytes)).answer === whole.answer, "the answer is one, however the NAR is read");
    return whole.findings;
  },
};

const hashParts = releases.flatMap(({ document }) =>
  document.paths.map(({ storePath }) => storePath.slice(11, 43)),
);
const scanner = new ReferenceScanner(hashParts);
