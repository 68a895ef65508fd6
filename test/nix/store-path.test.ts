import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BASE32_ALPHABET } from "../../src/nix/base32.js";
import { parseContentAddress, pathFromContentAddress } from "../../src/nix/content-address.js";
import { hashOf, parseHex, parseNix32 } from "../../src/nix/hash.js";
import {
  formatBaseName,
  formatStorePath,
  makeFixedOutputPath,
  makeOutputPath,
  makeSourcePath,
  makeTextPath,
  outputPathName,
  parseBaseName,
  parseStoreDir,
  parseStorePath,
} from "../../src/nix/store-path.js";

const refused = expect.objectContaining({ code: "STORE_PATH_INVALID" });
const HASH_PART = "37xrjbmb2m563q3jb13jv6xnwwy4760n";

describe("store paths as text", () => {
  it("prints what it accepted", () => {
    const hashPart = fc.string({ unit: fc.constantFrom(...BASE32_ALPHABET), minLength: 32, maxLength: 32 });
    const name = fc.stringMatching(/^[0-9a-zA-Z+_?=-][0-9a-zA-Z+._?=-]{0,210}$/);
    fc.assert(
      fc.property(hashPart, name, fc.constantFrom("/nix/store", "/opt/other"), (hash, name, storeDir) => {
        const path = parseStorePath(`${storeDir}/${hash}-${name}`, storeDir);
        expect(path).toEqual({ storeDir, hashPart: hash, name });
        expect(formatStorePath(path)).toBe(`${storeDir}/${hash}-${name}`);
        expect(parseBaseName(formatBaseName(path), storeDir)).toEqual(path);
      }),
    );
  });

  // Each tried with builtins.toFile on Nix 2.8; those that newer versions refuse are below.
  it.each([".x", "...", "-", "a=b?c_d+e.f-g", "a".repeat(211)])("accepts the name %j", (name) => {
    expect(parseBaseName(`${HASH_PART}-${name}`).name).toBe(name);
  });

  it.each([
    "",
    ".",
    "..",
    ".-a",
    "..-a",
    "a".repeat(212),
    "a/b",
    "a\n",
    "a b",
    "a:b",
    "é",
    "a\0",
    "a".repeat(10_000_000),
  ])("refuses the name %j", (name) => {
    expect(() => parseBaseName(`${HASH_PART}-${name}`)).toThrow(refused);
  });

  it.each([
    "/nix/store",
    "/nix/store/",
    `/nix/stores/${HASH_PART}-x`,
    `/nix/store//${HASH_PART}-x`,
    `/nix/store/${HASH_PART}-x/y`,
    `/nix/store/${HASH_PART}`,
    `/nix/store/${HASH_PART.slice(1)}-x`,
    `/nix/store/${HASH_PART.replace("3", "e")}-x`,
    `nix/store/${HASH_PART}-x`,
  ])("refuses %j", (text) => {
    expect(() => parseStorePath(text)).toThrow(refused);
  });

  it.each([
    "",
    "/",
    "nix/store",
    "/nix/store/",
    "/nix//store",
    "/nix/../store",
    "/nix/./store",
    "/a:b",
    "/a b",
    "/a\n",
  ])("refuses the store directory %j", (text) => {
    expect(() => parseStoreDir(text)).toThrow(refused);
  });

  it("accepts another store directory", () => {
    expect(parseStoreDir("/opt/other-store")).toBe("/opt/other-store");
  });
});

/** Every path below was made by Nix 2.8.0. */
describe("store paths from contents", () => {
  const leaf = "/nix/store/j75xh205rjvwmp2h61zsnhmpds3ixp0y-leaf.txt";
  const mid = "/nix/store/9c6qwvdvdpkpakxzmspqn32gipiihsjv-mid.txt";
  const drvPath = "/nix/store/bnkwknavpfq67vjmfjxhjhhfg8z18hdy-multi.drv";
  const drv = readFileSync(new URL("../vectors/multi.drv", import.meta.url), "latin1");

  it("derives a text's path", () => {
    expect(makeTextPath(hashOf("sha256", "leaf\n"), "leaf.txt", [])).toBe(leaf);
    expect(makeTextPath(hashOf("sha256", `mid ${leaf}\n`), "mid.txt", [leaf])).toBe(mid);
    expect(makeTextPath(hashOf("sha256", drv), "multi.drv", [mid])).toBe(drvPath);
  });

  it("derives input-addressed outputs' paths", () => {
    const out = "/nix/store/n8b670rzz093g1kc6r0fpkn3pmzi2w4j-multi";
    const dev = "/nix/store/nqpw6fm6mkrc27q575xplidzypsh38bm-multi-dev";
    // The derivation has no input derivations: its hash modulo is that of its text without output paths.
    const modulo = hashOf("sha256", drv.replaceAll(out, "").replaceAll(dev, ""));
    expect(makeOutputPath("out", modulo, "multi")).toBe(out);
    expect(makeOutputPath("dev", modulo, "multi")).toBe(dev);
  });

  it("derives sources' and fixed outputs' paths", () => {
    const nar = parseNix32("sha256:0hc7x4mami1jj3iay66b0qs9lm2ipl1hhsckccbxcn882rk6f1s5");
    const source = "/nix/store/v47c330my7x4cg2v2il45xcap019zfgh-src";
    expect(makeSourcePath(nar, "src")).toBe(source);
    expect(makeFixedOutputPath("nar", nar, "src")).toBe(source);
    const flat = (algorithm: "sha1" | "sha256") =>
      makeFixedOutputPath("flat", hashOf(algorithm, "flat\n"), "flatfile");
    expect(flat("sha256")).toBe("/nix/store/37xrjbmb2m563q3jb13jv6xnwwy4760n-flatfile");
    expect(flat("sha1")).toBe("/nix/store/xg9schww4ndc5sk6cccshl0bqdkqmkhl-flatfile");
    const md5 = parseNix32("md5:2fqzyjjvi9fg0xs4nly28g8jph");
    expect(makeFixedOutputPath("nar", md5, "src")).toBe("/nix/store/45nyxm7bv4clrb9kj02bxfbj3k0qrx5n-src");
  });

  it("depends on the store directory", () => {
    const nar = parseNix32("sha256:0hc7x4mami1jj3iay66b0qs9lm2ipl1hhsckccbxcn882rk6f1s5");
    const store = "/opt/other-store";
    expect(makeFixedOutputPath("nar", nar, "src", store)).toBe(
      `${store}/3jrr1ll8671jiir1x29s8wvcikbfgpiq-src`,
    );
    const sha1 = hashOf("sha1", "flat\n");
    const path = makeFixedOutputPath("flat", sha1, "flatfile", store);
    expect(path).toBe(`${store}/1vcc3lkd58zqz4skalk6m8wdyw6f3yvs-flatfile`);
  });

  it("refuses to make a path that could not be read back", () => {
    expect(() => makeTextPath(hashOf("sha256", ""), "a/b", [])).toThrow(refused);
    expect(() => makeOutputPath("out", hashOf("sha256", ""), "..")).toThrow(refused);
  });

  it("names outputs as Nix does", () => {
    expect([outputPathName("x", "out"), outputPathName("x", "dev")]).toEqual(["x", "x-dev"]);
  });

  it("does not depend on the order of references, nor sort the caller's list", () => {
    const references = [mid, leaf];
    const hash = parseHex("sha256", "00".repeat(32));
    expect(makeTextPath(hash, "x", references)).toBe(makeTextPath(hash, "x", [leaf, mid]));
    expect(references).toEqual([mid, leaf]);
  });

  it("refuses references that a kind of content address cannot have", () => {
    const impossible = expect.objectContaining({ code: "CONTENT_ADDRESS_INVALID" });
    const text = parseContentAddress("text:sha256:0dnrc9nawakl6dcawakrwp5wy6kyx4p2zvdry37zas8skpjglpbl");
    const flat = parseContentAddress("fixed:sha256:1xk2hhjr0f2n4adj1h688wlz59xpl86y1r8bd2pjasg8gy16mikb");
    const md5 = parseContentAddress("fixed:r:md5:2fqzyjjvi9fg0xs4nly28g8jph");
    expect(() => pathFromContentAddress(text, "x", { references: [], self: true })).toThrow(impossible);
    expect(() => pathFromContentAddress(flat, "x", { references: [leaf], self: false })).toThrow(impossible);
    expect(() => pathFromContentAddress(md5, "x", { references: [], self: true })).toThrow(impossible);
  });
});
