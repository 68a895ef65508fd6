import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BLOCK,
  readerOf,
  TAR_END_SIZE,
  type TarSource,
  type TarWalk,
  tarBytes,
  tarHeader,
  tarPadded,
  tarSize,
  walkTar,
  writeMembers,
} from "../../src/bundle/tar.js";
import { partOf } from "../../src/segments.js";

const scratch = mkdtempSync(join(tmpdir(), "nix-airgap-tar-"));
const file = join(scratch, "a.tar");

function walk(bytes: Uint8Array, maxMembers = 1000): TarWalk {
  writeFileSync(file, bytes);
  return walkFile(bytes.length, maxMembers);
}

function walkFile(size: number, maxMembers = 1000): TarWalk {
  const fd = openSync(file, "r");
  try {
    return walkTar(readerOf(fd), size, { maxMembers });
  } finally {
    closeSync(fd);
  }
}

const codes = ({ findings }: TarWalk) => findings.map(({ code }) => code);

async function write(members: readonly TarSource[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await writeMembers(async (bytes) => void pieces.push(Buffer.from(bytes)), members);
  return Buffer.concat(pieces);
}

const sample: [string, Buffer][] = [
  ["bundle.json", Buffer.from("{}\n")],
  ["log/.keep", Buffer.alloc(0)],
  ["docs/block", Buffer.alloc(BLOCK, 1)],
  ["docs/more", Buffer.alloc(BLOCK + 1, 2)],
];
const tar = tarBytes(sample);

const anyMembers = fc
  .uniqueArray(
    fc.tuple(fc.stringMatching(/^[a-z0-9][a-z0-9./-]{0,88}[a-z0-9]$/), fc.uint8Array({ maxLength: 1500 })),
    { selector: ([name]) => name, maxLength: 8 },
  )
  .map((members) => members.map(([name, bytes]): [string, Buffer] => [name, Buffer.from(bytes)]));

describe("a tar", () => {
  it("is found again as it was written, with offsets", () => {
    fc.assert(
      fc.property(anyMembers, (members) => {
        const bytes = tarBytes(members);
        const { members: found, findings } = walk(bytes);
        expect(findings).toEqual([]);
        expect(found.map(({ name }) => name)).toEqual(members.map(([name]) => name));
        for (const [at, { offset, size }] of found.entries()) {
          expect(bytes.subarray(offset, offset + size)).toEqual(members[at]![1]);
        }
        expect(bytes.length).toBe(tarSize(members.map(([, { length }]) => length)));
      }),
      { numRuns: 50 },
    );
  });

  it("has the same bytes streamed from files as from memory", async () => {
    const members = sample.map(([name, bytes], at): TarSource => {
      if (at % 2 === 0) return { name, bytes };
      const path = join(scratch, `member-${at}`);
      writeFileSync(path, bytes);
      return { name, file: partOf(path, bytes.length) };
    });
    expect(await write(members)).toEqual(tar);
  });

  it("is read by the system's tar", () => {
    writeFileSync(file, tar);
    const list = execFileSync("tar", ["--numeric-owner", "--full-time", "--utc", "-tvf", file], {
      encoding: "utf8",
    });
    expect(list.split("\n").slice(0, -1)).toEqual(
      sample.map(([name, { length }]) =>
        expect.stringMatching(
          new RegExp(`^-rw-r--r-- 0/0 +${length} 1970-01-01 00:00:00 ${name.replace(".", "\\.")}$`),
        ),
      ),
    );
    expect(execFileSync("tar", ["-xOf", file, "docs/more"])).toEqual(sample[3]![1]);
  });

  it("holds members over 8 GiB, their contents never read", () => {
    const size = 9 * 1024 ** 3 + 5;
    const header = tarHeader("blobs/x", size);
    writeFileSync(file, header);
    const total = BLOCK + tarPadded(size) + TAR_END_SIZE;
    truncateSync(file, total);
    expect(walkFile(total)).toEqual({ members: [{ name: "blobs/x", size, offset: BLOCK }], findings: [] });
    expect(execFileSync("tar", ["-tvf", file], { encoding: "utf8" })).toContain(` ${size} `);
    truncateSync(file, 0);
  });

  it.each([0, 1, 2 ** 30 - 1, 2 ** 30, 2 ** 33 - 1, 2 ** 33, 2 ** 45])(
    "has the header of section 8 for %i bytes",
    (size) => {
      const header = tarHeader("bundle.json", size);
      const digits = size.toString(8);
      const field = Buffer.alloc(12);
      if (size < 2 ** 30) field.write(`${digits.padStart(10, "0")} \0`, "latin1");
      else if (size < 2 ** 33) field.write(`${digits}\0`, "latin1");
      else {
        field.writeUInt8(0x80);
        field.writeBigUInt64BE(BigInt(size), 4);
      }
      const expected = Buffer.alloc(BLOCK);
      expected.write("bundle.json");
      expected.write(["000644 ", "000000 ", "000000 ", ""].join("\0"), 100, "latin1");
      expected.set(field, 124);
      expected.write("0000000000 \0        0", 136, "latin1");
      expected.write("ustar\x0000", 257, "latin1");
      expected.write(["000000 ", "000000 ", ""].join("\0"), 329, "latin1");
      const sum = expected.reduce((total, byte) => total + byte, 0);
      expected.write(`${sum.toString(8).padStart(6, "0")} \0`, 148, "latin1");
      expect(header.equals(expected)).toBe(true);
    },
  );
});

describe("a tar is refused", () => {
  it("wherever one bit outside of contents is flipped", () => {
    const contents = walk(tar).members.map(({ offset, size }) => [offset, offset + size] as const);
    const isContent = (at: number) => contents.some(([from, to]) => at >= from && at < to);
    const framing = [...tar.keys()].filter((at) => !isContent(at));
    fc.assert(
      fc.property(fc.constantFrom(...framing), fc.nat(7), (at, bit) => {
        const bytes = Buffer.from(tar);
        bytes[at]! ^= 1 << bit;
        expect(codes(walk(bytes))).not.toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  it("wherever it is cut", () => {
    fc.assert(
      fc.property(fc.nat(tar.length - 1), (length) => {
        expect(codes(walk(tar.subarray(0, length)))).toEqual(["TAR_TRUNCATED"]);
      }),
      { numRuns: 100 },
    );
  });

  it("with a mode bit set, and its other members are still found", () => {
    const bytes = Buffer.from(tar);
    bytes.write("004644 \0", 100, "latin1");
    const { members, findings } = walk(bytes);
    expect(findings).toEqual([{ code: "TAR_HEADER", offset: 0, subject: '"bundle.json"' }]);
    expect(members.length).toBe(sample.length);
  });

  it("after two bad headers in a row, so that a foreign tar has two findings", () => {
    for (const [name, bytes] of sample) writeFileSync(join(scratch, name.replace("/", "-")), bytes);
    execFileSync("tar", ["-cf", file, "-C", scratch, "bundle.json", "docs-more", "log-.keep"]);
    expect(codes(walk(readFileSync(file)))).toEqual(["TAR_HEADER", "TAR_HEADER"]);
  });

  it.each([
    ["a symlink", "2"],
    ["a hard link", "1"],
    ["a device", "3"],
    ["a folder", "5"],
    ["a fifo", "6"],
    ["a pax header", "x"],
    ["a GNU long name", "L"],
    ["a GNU sparse file", "S"],
  ])("when a member is %s", (_, type) => {
    const bytes = Buffer.from(tar);
    bytes.write(type, 156, "latin1");
    bytes.write("        ", 148, "latin1");
    const sum = bytes.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")} \0`, 148, "latin1");
    expect(codes(walk(bytes))).toContain("TAR_HEADER");
  });

  it("with padding that is not zero", () => {
    const bytes = Buffer.from(tar);
    bytes[BLOCK + 3] = 1;
    expect(walk(bytes).findings).toEqual([
      { code: "TAR_PADDING", subject: '"bundle.json"', offset: BLOCK + 3 },
    ]);
  });

  it("with a member twice; the first stands", () => {
    const { members, findings } = walk(tarBytes([...sample, ["bundle.json", Buffer.from("[]\n")]]));
    expect(findings).toEqual([expect.objectContaining({ code: "TAR_DUPLICATE", subject: '"bundle.json"' })]);
    expect(members.filter(({ name }) => name === "bundle.json")).toEqual([
      { name: "bundle.json", size: 3, offset: BLOCK },
    ]);
  });

  it("with bytes after its end, or a third zero block", () => {
    expect(codes(walk(Buffer.concat([tar, Buffer.from("x")])))).toEqual(["TAR_END"]);
    expect(codes(walk(Buffer.concat([tar, Buffer.alloc(BLOCK)])))).toEqual(["TAR_END"]);
    const bytes = Buffer.from(tar);
    bytes[bytes.length - 1] = 1;
    expect(codes(walk(bytes))).toEqual(["TAR_END"]);
  });

  it("with more members than are allowed", () => {
    expect(codes(walk(tar, 3))).toEqual(["TOO_MANY_FILES"]);
    expect(codes(walk(tar, 4))).toEqual([]);
    const again: [string, Buffer][] = Array.from({ length: 9 }, () => sample[0]!);
    expect(codes(walk(tarBytes(again), 3))).toEqual([
      "TAR_DUPLICATE",
      "TAR_DUPLICATE",
      "TAR_DUPLICATE",
      "TOO_MANY_FILES",
    ]);
  });

  it("when it is none, in little time, whatever its size says", () => {
    expect(codes(walk(Buffer.alloc(2 * BLOCK, "not a tar")))).toEqual(["TAR_HEADER"]);
    expect(codes(walk(Buffer.alloc(0)))).toEqual(["TAR_TRUNCATED"]);
    const bad = Buffer.from(tar);
    bad.fill(0x80, 124, 136);
    expect(codes(walk(bad))).toEqual(["TAR_HEADER"]);
  });
});

describe("writing a tar", () => {
  it("refuses a file that is shorter than its header says, or another than its hash says", async () => {
    const path = join(scratch, "five");
    writeFileSync(path, "12345");
    await expect(write([{ name: "docs/a", file: partOf(path, 6) }])).rejects.toThrow(
      expect.objectContaining({ code: "BLOB_SIZE" }),
    );
    const sha256 = createHash("sha256").update("12345").digest("hex");
    expect(await write([{ name: "docs/a", file: partOf(path, 5), sha256 }])).toEqual(
      tarBytes([["docs/a", Buffer.from("12345")]]),
    );
    writeFileSync(path, "12346");
    await expect(write([{ name: "docs/a", file: partOf(path, 5), sha256 }])).rejects.toThrow(
      expect.objectContaining({ code: "BLOB_HASH" }),
    );
  });

  it.each(["a b", "é", "a/", "x".repeat(100), ""])("refuses the name %j", (name) => {
    expect(() => tarHeader(name, 0)).toThrow(expect.objectContaining({ code: "TAR_HEADER" }));
  });

  it("stops when it is told to", async () => {
    const members = [{ name: "a", bytes: Buffer.alloc(1) }];
    const stopped = writeMembers(async () => {}, members, { signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow(expect.objectContaining({ code: "INTERRUPTED" }));
  });
});
