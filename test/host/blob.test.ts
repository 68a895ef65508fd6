import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { BlobChecker, type BlobJob } from "../../src/host/blob.js";
import { MAX_CAPTURE } from "../../src/host/nar-reading.js";
import { type NarNode, writeNar } from "../../src/nix/nar-writer.js";
import { partOf } from "../../src/segments.js";

const A = "37xrjbmb2m563q3jb13jv6xnwwy4760n";
const B = "v47c330my7x4cg2v2il45xcap019zfgh";
const dir = mkdtempSync(join(tmpdir(), "blob-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const checker = new BlobChecker({ hashParts: [A, B], largeWindows: true });
let count = 0;

const zstd = (content: Uint8Array, ...options: string[]): Buffer =>
  execFileSync("zstd", ["-q", "-c", "--no-check", ...options], { input: content, maxBuffer: 2 ** 30 });
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const sri = (bytes: Uint8Array, algorithm = "sha256"): string =>
  `${algorithm}-${createHash(algorithm).update(bytes).digest("base64")}`;
const file = (contents: string | Uint8Array, executable = false): NarNode => ({
  kind: "regular",
  executable,
  contents: Buffer.from(contents),
});
const tree = (entries: Record<string, NarNode>): NarNode => ({
  kind: "directory",
  entries: Object.entries(entries).map(([name, node]) => ({ name: Buffer.from(name), node })),
});

/** A job about `nar` that is right in everything; its file holds `onDisk` instead, if given. */
function job(nar: Uint8Array, change: Partial<BlobJob> = {}, onDisk?: Uint8Array): BlobJob {
  const blob = zstd(nar);
  const path = join(dir, String(count++));
  writeFileSync(path, onDisk ?? blob);
  return {
    kind: "blob",
    subject: "/nix/store/x",
    file: partOf(path, (onDisk ?? blob).length),
    blob: sha256(blob),
    blobSize: blob.length,
    narHash: sri(nar),
    narSize: nar.length,
    ...change,
  };
}

const pathOf = ({ file }: Pick<BlobJob, "file">) => file.segments[0]!.path;
const check = (j: BlobJob) => checker.check(j)!;
const codes = (j: BlobJob): string[] => check(j).findings.map((finding) => finding.code);
const nar = Buffer.from(
  writeNar(tree({ "flake.lock": file("{}"), sub: tree({ "flake.lock": file("lock of sub") }), z: file(A) })),
);

describe("a right blob", () => {
  it("has no findings, alone or inside a tar", () => {
    const right = job(nar);
    expect(check(right)).toMatchObject({
      findings: [],
      blobSha256: right.blob,
      narHash: right.narHash,
    });
    const inside = Buffer.concat([Buffer.alloc(1000, 1), zstd(nar), Buffer.alloc(1000, 2)]);
    const { file, blobSize } = job(nar, {}, inside);
    expect(codes(job(nar, { file: partOf(pathOf({ file }), blobSize, 1000) }))).toEqual([]);
  });

  it("may lie in several files, wherever it is cut", () => {
    const right = job(nar);
    const blob = zstd(nar);
    const [front, back] = [join(dir, "front"), join(dir, "back")];
    for (let at = 1; at < blob.length; at++) {
      writeFileSync(front, Buffer.concat([Buffer.alloc(100, 1), blob.subarray(0, at)]));
      writeFileSync(back, Buffer.concat([blob.subarray(at), Buffer.alloc(100, 2)]));
      const segments = [
        { path: front, offset: 100, size: at },
        { path: back, offset: 0, size: blob.length - at },
      ];
      expect(codes({ ...right, file: { size: blob.length, segments } })).toEqual([]);
    }
    rmSync(back);
    const segments = [front, back].map((path) => ({ path, offset: 0, size: 1 }));
    expect(codes({ ...right, file: { size: 2, segments } })).toEqual(["BLOB_MISSING"]);
  });

  it("may be many times larger than every buffer", () => {
    const large = Buffer.from(writeNar(file(Buffer.alloc(5_000_000, "many different words "))));
    expect(codes(job(large))).toEqual([]);
  });
});

describe("a wrong blob", () => {
  it("is named where any bit is flipped, and what came of that is not", () => {
    const blob = zstd(nar, "--check");
    const right = job(nar, { blob: sha256(blob), blobSize: blob.length }, blob);
    for (let at = 0; at < blob.length; at++) {
      const bad = Buffer.from(blob);
      bad[at]! ^= 1 << (at % 8);
      writeFileSync(pathOf(right), bad);
      expect(codes(right)).toEqual(["BLOB_HASH"]);
    }
  });

  it("has all that applies reported", () => {
    const other = Buffer.from(writeNar(file("other")));
    expect(codes(job(nar, {}, zstd(other)))).toEqual(["BLOB_SIZE", "BLOB_HASH"]);
  });

  it("is cut", () => {
    const blob = zstd(nar);
    expect(codes(job(nar, {}, blob.subarray(0, -1)))).toEqual(["BLOB_SIZE", "BLOB_HASH"]);
    expect(codes(job(nar, {}, Buffer.alloc(0)))).toEqual(["BLOB_SIZE", "BLOB_HASH"]);
  });

  it("is shorter than it was when the bundle was opened", () => {
    const shrunk = job(nar);
    truncateSync(pathOf(shrunk), 10);
    expect(codes(shrunk)).toEqual(["BLOB_SIZE", "BLOB_HASH"]);
  });

  it("is read one byte further than it should be, and no more", () => {
    const grown = job(nar);
    truncateSync(pathOf(grown), 10 * 2 ** 30);
    const started = performance.now();
    const sparse = { ...grown, file: partOf(pathOf(grown), 10 * 2 ** 30) };
    expect(codes(sparse)).toEqual(["BLOB_SIZE"]);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it("holds more than one frame", () => {
    const two = Buffer.concat([zstd(nar), zstd(Buffer.from("x"))]);
    expect(codes(job(nar, { blob: sha256(two), blobSize: two.length }, two))).toEqual(["ZSTD_TRAILING"]);
  });

  it("expands to 500 MB: decompression stops at the size of the NAR", () => {
    const zeros = execFileSync("/bin/sh", ["-c", "head -c 500000000 /dev/zero | zstd -q -c --no-check"]);
    const bomb = job(nar, { blob: sha256(zeros), blobSize: zeros.length }, zeros);
    const started = performance.now();
    expect(codes(bomb)).toEqual(["NAR_MAGIC", "NAR_SIZE"]);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it("is missing, a symlink, a FIFO or a folder", () => {
    const right = job(nar);
    const at = (path: string): string[] => codes({ ...right, file: partOf(path, right.blobSize) });
    expect(at(join(dir, "absent"))).toEqual(["BLOB_MISSING"]);
    symlinkSync(pathOf(right), join(dir, "link"));
    expect(at(join(dir, "link"))).toEqual(["FILE_TYPE"]);
    execFileSync("mkfifo", [join(dir, "fifo")]);
    expect(at(join(dir, "fifo"))).toEqual(["FILE_TYPE"]);
    mkdirSync(join(dir, "folder"));
    expect(at(join(dir, "folder"))).toEqual(["FILE_TYPE"]);
  });

  it("cannot be read: a typed error that names it", () => {
    const right = job(nar);
    const path = join(pathOf(right), "x");
    expect(() => check({ ...right, file: partOf(path, right.blobSize) })).toThrow(
      expect.objectContaining({ code: "DISK", details: expect.objectContaining({ subject: path }) }),
    );
  });
});

it("leaves a frame with a large window to who may have it", () => {
  const modest = new BlobChecker({ hashParts: [], largeWindows: false });
  const blob = execFileSync("zstd", ["-q", "-c", "--long=27"], { input: nar });
  const large = job(nar, { blob: sha256(blob), blobSize: blob.length }, blob);
  expect(modest.check(large)).toBeNull();
  expect(check(large).findings).toEqual([]);
  expect(modest.check(job(nar))?.findings).toEqual([]);
});

describe("a wrong NAR", () => {
  it("has another size or hash than the document says", () => {
    expect(codes(job(nar, { narSize: nar.length - 1 }))).toEqual(["NAR_SIZE"]);
    expect(codes(job(nar, { narSize: nar.length + 1 }))).toEqual(["NAR_SIZE"]);
    expect(codes(job(nar, { narHash: sri(Buffer.alloc(0)) }))).toEqual(["NAR_HASH"]);
  });

  it("breaks the grammar, which the finding places", () => {
    const cut = nar.subarray(0, -8);
    expect(codes(job(cut))).toEqual(["NAR_TRUNCATED"]);
    expect(codes(job(Buffer.concat([nar, Buffer.alloc(8)])))).toEqual(["NAR_TRAILING"]);
    expect(check(job(Buffer.from("hello"))).findings[0]?.code).toMatch(/^NAR_/);
    const unsorted = Buffer.from(nar.toString("latin1").replace("flake.lock", "zlake.lock"), "latin1");
    expect(check(job(unsorted)).findings).toEqual([
      expect.objectContaining({ code: "NAR_ENTRY_ORDER", subject: "/nix/store/x/zlake.lock" }),
    ]);
  });

  it("gives no contents", () => {
    const wrong = check(job(nar.subarray(0, -8), { capture: ["z"], scan: true }));
    expect(wrong.contents).toBeNull();
  });
});

describe("what is learnt from a NAR", () => {
  const contents = (of: Uint8Array, change: Partial<BlobJob>) => {
    const result = check(job(of, change));
    expect(result.findings).toEqual([]);
    return result.contents;
  };

  it("is the store paths in it, of this NAR only", () => {
    expect(contents(nar, { scan: true })?.references).toEqual([A]);
    expect(contents(Buffer.from(writeNar(file(B))), { scan: true })?.references).toEqual([B]);
    expect(contents(nar, {})?.references).toEqual([]);
  });

  it("is the content of named files", () => {
    const captured = contents(nar, { capture: ["sub/flake.lock", "absent", "sub", "z"] })?.captured;
    expect([...(captured ?? [])]).toEqual([
      ["sub/flake.lock", new Uint8Array(Buffer.from("lock of sub"))],
      ["z", new Uint8Array(Buffer.from(A))],
    ]);
    const drv = Buffer.from(writeNar(file("Derive([])")));
    expect(contents(drv, { capture: [""] })?.captured.get("")).toEqual(
      new Uint8Array(Buffer.from("Derive([])")),
    );
    const named = Buffer.from(writeNar(tree({ é: file("x") })));
    expect(contents(named, { capture: ["é"] })?.captured.has("é")).toBe(true);
  });

  it("is not the content of a file over the cap", () => {
    const large = Buffer.from(writeNar(file(Buffer.alloc(MAX_CAPTURE + 1))));
    expect(contents(large, { capture: [""] })?.captured.get("")).toBeNull();
  });

  it("is another hash of the content", () => {
    const flat = Buffer.from(writeNar(file("content")));
    for (const algorithm of ["md5", "sha1", "sha256", "sha512"] as const) {
      const hash = (contentHash: BlobJob["contentHash"] & object, of = flat) =>
        contents(of, { contentHash })?.contentHash;
      expect(hash({ method: "flat", algorithm })).toBe(sri(Buffer.from("content"), algorithm));
      expect(hash({ method: "nar", algorithm, selfHashPart: null })).toBe(sri(flat, algorithm));
      expect(hash({ method: "flat", algorithm }, nar)).toBeNull();
      const executable = Buffer.from(writeNar(file("content", true)));
      expect(hash({ method: "flat", algorithm }, executable)).toBeNull();
    }
  });

  it("is which files are prebuilt", () => {
    const pe = Buffer.alloc(300);
    pe.write("MZ");
    pe.writeUInt32LE(200, 60);
    pe.write("PE\0\0", 200);
    const binaries = Buffer.from(
      writeNar(
        tree({
          a: file("\x7fELF…"),
          b: file("!<arch>\nx"),
          c: file(pe),
          d: file(Buffer.from("cffaedfe07000001", "hex")),
          e: file(Buffer.from("cafebabe00000002", "hex")),
          f: file(Buffer.from("cafebabe00000041", "hex")),
          g: file("\0asm\x01\0\0\0"),
          h: tree({ i: file("\x7fELF") }),
          text: file(`MZ is how a text may begin${" ".repeat(100)}`),
          tiny: file("\x7fEL"),
          zero: file(""),
        }),
      ),
    );
    expect(contents(binaries, { findPrebuilt: true })?.prebuilt).toEqual({
      count: 8,
      files: [
        { path: "a", format: "ELF" },
        { path: "b", format: "ar" },
        { path: "c", format: "PE" },
        { path: "d", format: "Mach-O" },
        { path: "e", format: "Mach-O" },
        { path: "f", format: "Java class" },
        { path: "g", format: "wasm" },
        { path: "h/i", format: "ELF" },
      ],
    });
    expect(contents(binaries, {})?.prebuilt.count).toBe(0);
  });

  it("names entries that are one file where case or Unicode form does not count", () => {
    const empty = file("");
    const nar = Buffer.from(
      writeNar(
        tree({
          Makefile: empty,
          makefile: empty,
          d: tree({ "e\u0301": empty, "\u00e9": empty }),
          other: empty,
        }),
      ),
    );
    expect(contents(nar, {})?.collisions).toEqual({
      count: 2,
      pairs: [
        ["d/\u00c3\u00a9", "d/e\u00cc\u0081"],
        ["makefile", "Makefile"],
      ],
    });
    expect(
      contents(Buffer.from(writeNar(tree({ a: tree({ x: empty }), X: empty }))), {})?.collisions.count,
    ).toBe(0);
  });
});
