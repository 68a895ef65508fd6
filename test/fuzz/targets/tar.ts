/** The tar, as a row of members. That they are those of a bundle is bundle.ts's. */
import { ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { readerOf, tarBytes, walkTar } from "../../../src/bundle/tar.js";
import { tarHeaders } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { golden } from "../seeds.js";
import { ACCEPTED, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { lazy, scratch } from "./scratch.js";

export const tar: Target = {
  name: "tar",
  share: 0.25,
  codes: codes("TAR_HEADER", "TAR_PADDING", "TAR_END", "TAR_DUPLICATE", "TAR_TRUNCATED", "TOO_MANY_FILES"),
  seeds: [
    tarBytes([...golden].filter(([name]) => /\.narinfo$|^roots|keep$/.test(name)).slice(0, 12)),
    tarBytes([
      ["bundle.json", Buffer.from("{}\n")],
      ["docs/block", Buffer.alloc(512, 1)],
      ["docs/more", Buffer.alloc(513, 2)],
      ["index.json", Buffer.alloc(0)],
    ]),
    tarBytes([]),
  ],
  words: [
    Buffer.alloc(512),
    Buffer.alloc(1024),
    ...words("ustar\x0000", "../", "/etc/passwd", "000644 \0", "\x80\0\0\0", "\xff\xff\xff\xff"),
  ],
  mutations: [tarHeaders],
  run(bytes) {
    const file = tarFile();
    ftruncateSync(file, 0);
    writeSync(file, bytes, 0, bytes.length, 0);
    const { members, findings } = walkTar(readerOf(file), bytes.length, { maxMembers: 50 });
    for (const { offset, size } of members) {
      requireLaw(offset >= 512 && size >= 0 && offset + size <= bytes.length, "members lie in the file");
    }
    if (findings.length > 0) return findings;
    const again = tarBytes(
      members.map(({ name, offset, size }) => [name, bytes.subarray(offset, offset + size)]),
    );
    requireSame(again, bytes, "an accepted tar is what we would write");
    return ACCEPTED;
  },
};

const tarFile = lazy(() => openSync(join(scratch(), "a.tar"), "w+"));
