/** Every hostile NAR against the parser, the program with a signed bundle, and stock Nix as the measure of what strictness adds. */
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.js";
import type { VerifyReport } from "../../src/generated/types.js";
import { formatContentAddress } from "../../src/nix/content-address.js";
import { hashOf } from "../../src/nix/hash.js";
import { NarParser } from "../../src/nix/nar.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { makeSourcePath } from "../../src/nix/store-path.js";
import { packerKey, tempDir, writeBundle } from "../support/bundle.js";
import { cliJson } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { installedNix, isOlder } from "../support/installed-nix.js";
import { FEATURES } from "../support/packed.js";
import { describeNar, makeRelease, type Release, seal } from "../support/release.js";
import { hostileNars, type LegalNar, legalNars } from "./nars.js";

/**
 * What Nix 2.8 unpacks (`nix-store --restore`), although it would write none of it. Newer versions refuse more of them,
 * and take nothing else.
 */
const RESTORED: readonly string[] = [
  "entries unsorted",
  "entries unsorted deep inside",
  "entries unsorted after a directory",
  "entry before its prefix",
  "entries sorted without case",
  "entries sorted as signed bytes",
  "entries sorted as UTF-16",
  "target with NUL",
  "target with NUL in an entry",
  "target left out",
  "contents left out",
  "contents twice",
  "executable after contents",
  "executable twice",
  "executable without contents",
  "node of nothing",
  "entry of nothing",
  "entry without a node",
  "entry with two names",
  "depth one over the limit",
  "depth of empty directories one over the limit",
  "depth 70",
  "depth 1000",
  "one zero byte more",
  "eight zero bytes more",
  "a block of zeros more",
  "a line feed more",
  "a close more",
  "a second node",
  "a second NAR",
  "a second NAR after a symlink",
  "an entry after the root",
];
/** It copies the rest of these from a cache, as input-addressed paths: here it hashes what follows, or finds no tree. */
const NOT_COPIED: ReadonlySet<string> = new Set([
  "target left out",
  "node of nothing",
  ...hostileNars.filter(({ code }) => code === "NAR_TRAILING").map(({ name }) => name),
]);
const COPIED = RESTORED.filter((name) => !NOT_COPIED.has(name));

/** Code and offset with which `bytes`, in pieces of these sizes, are refused; the last size repeats. */
function refusal(
  bytes: Buffer,
  sizes: readonly number[],
): { code: string; offset: number | undefined } | null {
  const parser = new NarParser();
  try {
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[Math.min(i, sizes.length - 1)]!;
      parser.update(bytes.subarray(at, at + size));
      at += size;
    }
    parser.end();
    return null;
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { code: error.code, offset: error.details.offset };
  }
}

/** Where a NAR lies in the bundle: it is content-addressed and was read by evaluation, so that nothing else is wrong with it. */
function pathFor({ name, bytes }: LegalNar): string {
  return makeSourcePath(hashOf("sha256", bytes), name.replaceAll(/[^0-9A-Za-z.-]/g, "-"));
}

/** A whole release, and these NARs, each as its packer signed it; without `ca` good as a cache only. */
function releaseWith(nars: readonly LegalNar[], { ca = true } = {}): Release {
  const made = makeRelease({ tier: "runtime" });
  const blobs = new Map(made.blobs);
  for (const nar of nars) {
    const { fields, blob } = describeNar(nar.bytes);
    blobs.set(fields.blob, blob);
    made.document.paths.push({
      ca: ca
        ? formatContentAddress({ kind: "fixed", method: "nar", hash: hashOf("sha256", nar.bytes) })
        : null,
      cause: "fetched",
      compression: "zstd",
      deriver: null,
      kinds: ["evaluation"],
      references: [],
      signatures: [],
      storePath: pathFor(nar),
      ...fields,
    });
  }
  seal(made.document);
  return { ...made, blobs };
}

/** Of every store path that has findings, their codes. A NAR's findings name a file below the path. */
function codesByPath({ findings }: VerifyReport): Map<string, string[]> {
  const codes = new Map<string, string[]>();
  for (const { code, subject } of findings) {
    const path = (subject ?? "").split("/").slice(0, 4).join("/");
    codes.set(path, [...(codes.get(path) ?? []), code]);
  }
  return codes;
}

const verifyArgs = (bundle: string) => [
  "verify",
  bundle,
  "--public-key",
  formatPublicKey(packerKey.publicKey),
];

describe("hostile NARs", () => {
  it("are many, and each is another", () => {
    expect(hostileNars.length).toBeGreaterThanOrEqual(60);
    expect(new Set(hostileNars.map(({ name }) => name)).size).toBe(hostileNars.length);
    expect(new Set(hostileNars.map(({ bytes }) => bytes.toString("latin1"))).size).toBe(hostileNars.length);
  });

  it.each(hostileNars)("$name: $code, however the bytes are cut", ({ bytes, code }) => {
    const whole = refusal(bytes, [bytes.length]);
    expect(whole).toMatchObject({ code });
    expect(refusal(bytes, [1])).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 40 }), (sizes) => {
        expect(refusal(bytes, sizes)).toEqual(whole);
      }),
      // A long one is refused near its start, but cutting it into small pieces takes long.
      { numRuns: bytes.length > 100_000 ? 3 : 20 },
    );
  });

  it.each(legalNars)("$name is kept, however the bytes are cut", ({ bytes }) => {
    for (const size of [bytes.length, 1, 7, 64]) expect(refusal(bytes, [size])).toBeNull();
  });
});

describe.each(["directory", "tar"] as const)("a signed bundle as %s", (form) => {
  it("is refused for every hostile NAR in it, each by its own code and no other", async () => {
    const bundle = await writeBundle(releaseWith(hostileNars), { form });
    const { code, json } = await cliJson<VerifyReport>(verifyArgs(bundle));
    expect(codesByPath(json)).toEqual(new Map(hostileNars.map((nar) => [pathFor(nar), [nar.code]])));
    expect(json).toMatchObject({ verdict: "refused", exit: 10 });
    expect(code).toBe(10);
  });

  it("is verified with legal NARs of the same kinds", async () => {
    const bundle = await writeBundle(releaseWith(legalNars), { form });
    const { code, json } = await cliJson<VerifyReport>(verifyArgs(bundle));
    expect(json.findings).toEqual([]);
    expect(json).toMatchObject({ verdict: "verified", exit: 0 });
    expect(code).toBe(0);
  });
});

describe("stock Nix", () => {
  const dir = tempDir();
  const env = nixEnvironment(dir);
  // Nix leaves read-only trees, and some deeper than a path can name: Node's rm stops at them.
  const clear = (name: string) => execFileSync("rm", ["-rf", join(dir, name)]);
  afterAll(() => clear("store"));

  function restores({ bytes }: LegalNar): boolean {
    const { status } = spawnSync("nix-store", ["--restore", join(dir, "tree")], { env, input: bytes });
    clear("tree");
    return status === 0;
  }

  it("unpacks the legal ones, and some that it would not write", () => {
    expect(namesOf(legalNars.filter((nar) => !restores(nar)))).toEqual([]);
    expectTaken(namesOf(hostileNars.filter(restores)), RESTORED);
  });

  it("copies the legal ones from a cache, and some that it would not write", async () => {
    const cache = await writeBundle(releaseWith([...hostileNars, ...legalNars], { ca: false }));
    const copies = (nar: LegalNar): boolean => {
      const options = ["--from", `file://${cache}`, "--to", join(dir, "store"), "--no-check-sigs"];
      return spawnSync("nix", [...FEATURES, "copy", ...options, pathFor(nar)], { env }).status === 0;
    };
    expect(namesOf(legalNars.filter((nar) => !copies(nar)))).toEqual([]);
    expectTaken(namesOf(hostileNars.filter(copies)), COPIED);
  });

  /** On a newer Nix some of these, and no others. */
  function expectTaken(taken: readonly string[], by28: readonly string[]): void {
    const expected = isOlder(installedNix(), "2.26") ? by28 : by28.filter((name) => taken.includes(name));
    expect(taken).toEqual(expected);
  }
});

const namesOf = (nars: readonly LegalNar[]) => nars.map(({ name }) => name);
