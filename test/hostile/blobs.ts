/** Attacks on blobs and NARs, by bad media and by whoever holds the right key. */
import { execFileSync } from "node:child_process";
import { blobName } from "../../src/bundle/layout.js";
import { formatSri, hashOf } from "../../src/nix/hash.js";
import { type Attack, attacks } from "./attack.js";
import { forged } from "./forged.js";
import type { Victim } from "./victim.js";

export const BLOBS: readonly Attack[] = [
  ...attacks(
    "25 decompression",
    [
      "a second frame",
      11,
      "ZSTD_TRAILING",
      forged((v) => appendToBlob(v, execFileSync("zstd", ["-c"], { input: "more" }))),
    ],
    [
      "an empty second frame",
      11,
      "ZSTD_TRAILING",
      forged((v) => appendToBlob(v, execFileSync("zstd", ["-c"], { input: "" }))),
    ],
    [
      "a skippable frame after",
      11,
      "ZSTD_TRAILING",
      forged((v) => appendToBlob(v, Buffer.from("502a4d180400000065766c21", "hex"))),
    ],
    ["bytes after the frame", 11, "ZSTD_TRAILING", forged((v) => appendToBlob(v, Buffer.from("evil")))],
    [
      "a skippable frame before",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(
          path,
          Buffer.concat([Buffer.from("502a4d180400000065766c21", "hex"), v.get(blobName(path.blob))]),
        );
      }),
    ],
    [
      "a window over 128 MiB",
      11,
      "ZSTD_WINDOW",
      forged((v) => {
        const path = v.path(/^stamp$/);
        // Magic, a descriptor without a content size, the window's exponent: 2^(10 + 18).
        const bytes = Buffer.from(v.get(blobName(path.blob)));
        v.setBlob(
          path,
          Buffer.concat([bytes.subarray(0, 4), Buffer.from([0x00, 18 << 3]), bytes.subarray(6)]),
        );
      }),
    ],
    [
      "a frame cut short",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(path, v.get(blobName(path.blob)).subarray(0, -3));
      }),
    ],
    [
      "no zstd at all",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(path, v.nar(path));
      }),
    ],
    [
      "gzip",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(path, execFileSync("gzip", ["-n"], { input: v.nar(path) }));
      }),
    ],
    [
      "more than the document says",
      11,
      "NAR_SIZE",
      forged((v) => {
        v.path(/^stamp$/).narSize -= 1;
      }),
    ],
    [
      "less than the document says",
      11,
      "NAR_SIZE",
      forged((v) => {
        v.path(/^stamp$/).narSize += 8;
      }),
    ],
    [
      "another NAR than the document says",
      11,
      "NAR_HASH",
      forged((v) => {
        v.path(/^stamp$/).narHash = formatSri(hashOf("sha256", "evil"));
      }),
    ],
  ),
  ...attacks(
    "26 sizes",
    [
      "a blob grown",
      11,
      "BLOB_SIZE",
      (v) => {
        const name = blobName(v.path(/^stamp$/).blob);
        v.files.set(name, Buffer.concat([v.get(name), Buffer.alloc(1)]));
      },
    ],
    [
      "a blob cut",
      11,
      "BLOB_SIZE",
      (v) => {
        const name = blobName(v.path(/^stamp$/).blob);
        v.files.set(name, v.get(name).subarray(0, -1));
      },
    ],
    ["an empty blob", 11, "BLOB_SIZE", (v) => v.files.set(blobName(v.path(/^stamp$/).blob), Buffer.alloc(0))],
    ["a blob gone", 13, "BLOB_MISSING", (v) => v.files.delete(blobName(v.path(/^stamp$/).blob))],
    [
      "a document over its cap",
      10,
      "FILE_TOO_LARGE",
      (v) => v.files.set("bundle.json", Buffer.alloc(2 ** 26 + 1)),
    ],
    [
      "an index over its cap",
      10,
      "FILE_TOO_LARGE",
      (v) => v.files.set("index.json", Buffer.alloc(2 ** 20 + 1)),
    ],
  ),
  ...attacks(
    "27 NARs",
    [
      "trailing bytes",
      10,
      "NAR_TRAILING",
      forged((v) => v.setNar(v.path(/^stamp$/), Buffer.concat([v.nar(v.path(/^stamp$/)), Buffer.alloc(8)]))),
    ],
    [
      "an unknown field",
      10,
      "NAR_FIELD",
      forged((v) => {
        const nar = v
          .nar(v.path(/^stamp$/))
          .toString("latin1")
          .replace("contents", "contentz");
        v.setNar(v.path(/^stamp$/), Buffer.from(nar, "latin1"));
      }),
    ],
  ),
];

function appendToBlob(victim: Victim, bytes: Uint8Array): void {
  const path = victim.path(/^stamp$/);
  victim.setBlob(path, Buffer.concat([victim.get(blobName(path.blob)), bytes]));
}
