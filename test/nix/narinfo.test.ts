import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatContentAddress,
  parseContentAddress,
  pathFromContentAddress,
} from "../../src/nix/content-address.js";
import { fingerprint, formatNarInfo, parseNarInfo } from "../../src/nix/narinfo.js";
import { parseSecretKey, signFingerprint, verifyFingerprint } from "../../src/nix/signature.js";
import { parseStorePath } from "../../src/nix/store-path.js";

const refused = expect.objectContaining({ code: "NARINFO_INVALID" });
const refusedAt = (line: number) =>
  expect.objectContaining({ code: "NARINFO_INVALID", details: expect.objectContaining({ line }) });

/** Written by `nix copy --to file://…` of Nix 2.8.0, signed by the two test keys below. */
const directory = new URL("../vectors/narinfo/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, directory), "latin1");
const names = readdirSync(directory);
const multi = read("n8b670rzz093g1kc6r0fpkn3pmzi2w4j.narinfo");
const middle = read("9c6qwvdvdpkpakxzmspqn32gipiihsjv.narinfo");

const KEYS = [
  "cache.test-1:/jyqYd+t+lM0AGM55t4Tb9jIxhLD7vFD8yYxoGKtzGVS4c18K6u7Yx0UsVs2f/cKesIGtyqnV795jerhsVXo0A==",
  "second:yV/dQO3o6DiehiDxOpA0sTZHPZD9Jx3Y2q5KStM5PnSCtX17XAIFWZD9naJU0y9WpizQyPTtH3SZiLlLqK6LCA==",
].map(parseSecretKey);

describe("narinfo files that Nix wrote", () => {
  it("come in every kind", () => {
    expect(names.length).toBe(16);
  });

  it.each(names)("%s prints back to the same bytes", (name) => {
    expect(formatNarInfo(parseNarInfo(read(name)))).toBe(read(name));
  });

  it.each(names)("%s: the same key makes the same signatures, and they hold", (name) => {
    const info = parseNarInfo(read(name));
    const ours = KEYS.map((key) => signFingerprint(fingerprint(info), key));
    for (const signature of info.signatures) expect(ours).toContain(signature);
    for (const key of KEYS) {
      const holds = info.signatures.some((signature) =>
        verifyFingerprint(fingerprint(info), signature, key.publicKey),
      );
      expect(holds).toBe(info.signatures.some((signature) => signature.startsWith(`${key.publicKey.name}:`)));
    }
  });

  it.each(names)("%s: a content address leads to the path", (name) => {
    const info = parseNarInfo(read(name));
    if (info.ca === undefined) {
      expect(info.deriver).toBe("/nix/store/bnkwknavpfq67vjmfjxhjhhfg8z18hdy-multi.drv");
      return;
    }
    const references = info.references.filter((reference) => reference !== info.storePath);
    const self = references.length < info.references.length;
    expect(pathFromContentAddress(info.ca, parseStorePath(info.storePath).name, { references, self })).toBe(
      info.storePath,
    );
  });

  it("become values", () => {
    const info = parseNarInfo(multi);
    expect(info).toMatchObject({
      storePath: "/nix/store/n8b670rzz093g1kc6r0fpkn3pmzi2w4j-multi",
      compression: "xz",
      narSize: 272,
      references: [
        "/nix/store/9c6qwvdvdpkpakxzmspqn32gipiihsjv-mid.txt",
        "/nix/store/n8b670rzz093g1kc6r0fpkn3pmzi2w4j-multi",
        "/nix/store/nqpw6fm6mkrc27q575xplidzypsh38bm-multi-dev",
      ],
    });
    expect(info).not.toHaveProperty("ca");
    expect(fingerprint(info)).toBe(
      "1;/nix/store/n8b670rzz093g1kc6r0fpkn3pmzi2w4j-multi;" +
        "sha256:0pz767lf6lygvficwj6xginj5w9bag3qvs0n2pja3mkyb43ml8g8;272;" +
        "/nix/store/9c6qwvdvdpkpakxzmspqn32gipiihsjv-mid.txt," +
        "/nix/store/n8b670rzz093g1kc6r0fpkn3pmzi2w4j-multi," +
        "/nix/store/nqpw6fm6mkrc27q575xplidzypsh38bm-multi-dev",
    );
  });
});

describe("narinfo grammar", () => {
  const lines = multi.split("\n");
  const edit = (line: number, text: string) => lines.with(line - 1, text).join("\n");

  it.each([
    ["an unknown field", `${multi}X: y\n`, lines.length],
    ["System, which Nix does not write any more", edit(10, "System: x86_64-linux"), 10],
    ["a repeated field", edit(2, lines[0]!), 2],
    ["a carriage return", edit(3, "Compression: xz\r"), 3],
    ["no final newline", multi.slice(0, -1), lines.length - 1],
    ["an empty line at the end", `${multi}\n`, lines.length],
    ["an empty line between", edit(4, `\n${lines[3]}`), 4],
    ["a missing field", edit(4, lines[4]!), 4],
    ["another store directory", edit(1, lines[0]!.replace("/nix/store", "/opt/store")), 1],
    ["a URL that climbs", edit(2, "URL: nar/../../x"), 2],
    ["an absolute URL", edit(2, "URL: /etc/passwd"), 2],
    ["a URL with a scheme", edit(2, "URL: http://x/y"), 2],
    ["an escaped URL", edit(2, "URL: nar/%2e%2e/x"), 2],
    ["unknown compression", edit(3, "Compression: rot13"), 3],
    ["a hex hash", edit(6, `NarHash: sha256:${"0".repeat(64)}`), 6],
    ["a sha1 NarHash", edit(6, "NarHash: sha1:pplp5izjnj9j7sbk2hwv7dkbswqf61yj"), 6],
    ["a size with a leading zero", edit(7, "NarSize: 0272"), 7],
    ["size zero", edit(7, "NarSize: 0"), 7],
    ["a size over 2^53", edit(7, "NarSize: 9007199254740993"), 7],
    ["references in another order", edit(8, lines[7]!.split(" ").toReversed().join(" ")), 8],
    [
      "a repeated reference",
      edit(8, "References: 9c6qwvdvdpkpakxzmspqn32gipiihsjv-m 9c6qwvdvdpkpakxzmspqn32gipiihsjv-m"),
      8,
    ],
    ["two spaces between references", edit(8, lines[7]!.replace(" n8", "  n8")), 8],
    ["references without the space", edit(8, "References:"), 8],
    ["signatures in another order", lines.with(9, lines[10]!).with(10, lines[9]!).join("\n"), 11],
    ["a repeated signature", edit(11, lines[9]!), 11],
    ["a signature in lax base64", edit(11, lines[10]!.replace("==", "=")), 11],
    ["an unknown deriver", edit(9, "Deriver: unknown-deriver"), 9],
    ["nothing", "", 1],
  ])("refuses %s", (_, text, line) => {
    expect(() => parseNarInfo(text)).toThrow(refusedAt(line));
  });

  it("refuses an unknown content address", () => {
    const text = middle.replace(/CA: .*/, "CA: text:md5:2fqzyjjvi9fg0xs4nly28g8jph");
    expect(() => parseNarInfo(text)).toThrow(refused);
  });

  it("accepts only what prints back the same, whichever byte is changed", () => {
    const anyText = fc.constantFrom(...names.map(read));
    fc.assert(
      fc.property(
        anyText,
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(2),
        (text, position, byte, cut) => {
          const at = position % text.length;
          const changed = text.slice(0, at) + String.fromCharCode(byte) + text.slice(at + cut);
          let printed: string;
          try {
            printed = formatNarInfo(parseNarInfo(changed));
          } catch (error) {
            expect(error).toEqual(refused);
            return;
          }
          expect(printed).toBe(changed);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("does not print a value that would become another line", () => {
    const info = parseNarInfo(multi);
    const code = (value: string) => expect.objectContaining({ code: value });
    expect(() => formatNarInfo({ ...info, url: "nar/x\nCA: y" })).toThrow(refused);
    expect(() => formatNarInfo({ ...info, signatures: [`${info.signatures[0]}\nX: y`] })).toThrow(
      code("SIGNATURE_INVALID"),
    );
    expect(() => formatNarInfo({ ...info, deriver: `${info.deriver}\nX: y` })).toThrow(
      code("STORE_PATH_INVALID"),
    );
    expect(() => formatNarInfo({ ...info, references: ["/x"] })).toThrow(code("STORE_PATH_INVALID"));
    expect(() => formatNarInfo({ ...info, narSize: 1e21 })).toThrow(refused);
  });

  it("sorts references and signatures when printing", () => {
    const info = parseNarInfo(multi);
    const { references, signatures } = info;
    const shuffled = { ...info, references: references.toReversed(), signatures: signatures.toReversed() };
    expect(formatNarInfo(shuffled)).toBe(multi);
    expect(fingerprint(shuffled)).toBe(fingerprint(info));
  });

  it("keeps the store directory a value", () => {
    const text = multi.replace("/nix/store", "/opt/store");
    const info = parseNarInfo(text, "/opt/store");
    expect(info.references.every((reference) => reference.startsWith("/opt/store/"))).toBe(true);
    expect(formatNarInfo(info, "/opt/store")).toBe(text);
  });

  it("answers for ten megabytes in one line within a second", () => {
    const started = performance.now();
    expect(() => parseNarInfo(edit(8, `References: ${"a".repeat(10_000_000)}`))).toThrow(refused);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("content addresses", () => {
  it.each([
    "text:sha256:0dnrc9nawakl6dcawakrwp5wy6kyx4p2zvdry37zas8skpjglpbl",
    "fixed:sha1:pplp5izjnj9j7sbk2hwv7dkbswqf61yj",
    "fixed:r:md5:2fqzyjjvi9fg0xs4nly28g8jph",
  ])("%s prints back the same", (text) => {
    expect(formatContentAddress(parseContentAddress(text))).toBe(text);
  });

  it.each(["", "text:sha1:pplp5izjnj9j7sbk2hwv7dkbswqf61yj", "source:sha256:0", "git:sha1:0"])(
    "refuses %j",
    (text) => {
      expect(() => parseContentAddress(text)).toThrow(
        expect.objectContaining({ code: "CONTENT_ADDRESS_INVALID" }),
      );
    },
  );
});
