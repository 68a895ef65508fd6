/**
 * Gigabytes that take no room: files of zeros, each with a mark of its own. As a release made by hand, whose blobs are a few
 * megabytes; and as a flake whose derivations make files with holes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatSri, hashFromDigest } from "../../../src/nix/hash.js";
import { narHeader, narRegularClose, narRegularOpen } from "../../../src/nix/nar-writer.js";
import { SYSTEM } from "../fixtures.js";
import { commitAll } from "../git.js";
import { addFetched, type LargeNar } from "../large-nar.js";
import { makeRelease, type Release } from "../release.js";
import { FrameWriter } from "./frame.js";

/** Of a whole, the largest half of it, the next a quarter: so that two threads end together, whatever the size. */
const SHARES = [1 / 2, 1 / 4, 1 / 8, 1 / 8];
const PIECE = Buffer.alloc(1024 * 1024);

/** A release whose NARs sum to `bytes` and a little more. */
export function makeSparseRelease(bytes: number): Release {
  let release = makeRelease();
  for (const [mark, share] of SHARES.entries()) {
    release = addFetched(release, `sparse-${mark}`, sparseNar(Math.round(bytes * share), mark));
  }
  return release;
}

const made = new Map<string, LargeNar>();

/** One file; hashing it takes a second for each 1.8 GB or so. */
function sparseNar(size: number, mark: number): LargeNar {
  const known = made.get(`${size} ${mark}`);
  if (known !== undefined) return known;
  const hasher = createHash("sha256");
  const frame = new FrameWriter();
  let narSize = 0;
  const put = (bytes: Uint8Array): void => {
    hasher.update(bytes);
    frame.bytes(bytes);
    narSize += bytes.length;
  };
  const first = Buffer.from(`${mark}\n`);
  put(narHeader());
  put(narRegularOpen({ executable: false, size }));
  put(first);
  const zeros = size - first.length;
  for (let left = zeros; left > 0; left -= PIECE.length) hasher.update(PIECE.subarray(0, left));
  frame.zeros(zeros);
  narSize += zeros;
  put(narRegularClose(size));
  const narHash = formatSri(hashFromDigest("sha256", hasher.digest()));
  const nar = { narHash, narSize, blob: frame.end() };
  made.set(`${size} ${mark}`, nar);
  return nar;
}

/** A flake in `dir` whose outputs sum to `bytes`, with holes, so that they take no disk. Returns its reference. */
export function makeSparseFlake(dir: string, bytes: number): string {
  mkdirSync(dir, { recursive: true });
  const outputs = SHARES.map((share, mark) => `(sparse "${mark}" "${Math.round(bytes * share)}")`);
  writeFileSync(
    join(dir, "flake.nix"),
    `{
  outputs = _:
    let
      mk = name: script: derivation {
        inherit name;
        system = "${SYSTEM}";
        builder = "/bin/sh";
        args = [ "-e" "-c" "PATH=/usr/bin:/bin\\n\${script}" ];
      };
      sparse = mark: size: mk "sparse-\${mark}" "echo \${mark} > $out; truncate -s \${size} $out";
    in {
      packages.${SYSTEM}.default = mk "all" "echo \${toString [ ${outputs.join(" ")} ]} > $out";
    };
}
`,
  );
  commitAll(dir, "Add the product");
  return `git+file://${dir}`;
}
