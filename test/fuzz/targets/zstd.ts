/** The zstd frame: one content, however it is read. What that content is, is of no matter here. */
import { createHash } from "node:crypto";
import type { Code } from "../../../src/errors.js";
import { ZstdDecoder } from "../../../src/host/zstd/decoder.js";
import type { Target } from "../fuzz.js";
import { goldenBlobs } from "../seeds.js";
import { ACCEPTED, pieces, refusalOf, requireLaw } from "./laws.js";
import { codes, small } from "./lists.js";

export const zstd: Target = {
  name: "zstd",
  share: 0.25,
  codes: codes("ZSTD_INVALID", "ZSTD_WINDOW", "ZSTD_TRAILING"),
  seeds: small(goldenBlobs),
  words: [
    Buffer.from("28b52ffd", "hex"),
    Buffer.from("502a4d1800000000", "hex"),
    Buffer.from([0x01, 0, 0]),
    Buffer.from([0xfb, 0xff, 0xff]),
    Buffer.from([0xff, 0xff, 0xff, 0xff]),
  ],
  mutations: [],
  run(bytes) {
    const whole = expand([bytes]);
    const cut = expand(pieces(bytes));
    requireLaw(cut.code === whole.code, "the answer is one, however the frame is read");
    // Of a corrupt frame a little more comes out when it is read in pieces.
    requireLaw(whole.code !== undefined || cut.sha256 === whole.sha256, "a frame has one content");
    return whole.code === undefined ? ACCEPTED : [{ code: whole.code }];
  },
};

/** As a NAR's size caps what its blob may expand to. */
const ZSTD_CAP = 1024 * 1024;
const decoder = new ZstdDecoder();

/** Leaves a frame that expands to more than the cap, as whoever reads a blob does. */
function expand(list: Iterable<Buffer>): { sha256: string; code: Code | undefined } {
  const hasher = createHash("sha256");
  let size = 0;
  const refusal = refusalOf(() => {
    decoder.reset();
    for (const piece of list) {
      for (const output of decoder.decode(piece)) {
        const taken = output.subarray(0, ZSTD_CAP - size);
        hasher.update(taken);
        size += taken.length;
        if (taken.length < output.length) return;
      }
    }
    decoder.end();
  });
  return { sha256: hasher.digest("hex"), code: refusal?.code };
}
