/** Threat of size alone: ten megabytes where a word is expected take no parser of text long, whatever they are. */
import { describe, expect, it } from "vitest";
import { formatDocument, parseDocument } from "../../src/bundle/document.js";
import { parseCanonicalJson } from "../../src/canonical-json.js";
import { AirgapError } from "../../src/errors.js";
import { decodeBase32 } from "../../src/nix/base32.js";
import { parseContentAddress } from "../../src/nix/content-address.js";
import { parseDerivation } from "../../src/nix/derivation.js";
import { parseFlakeLock, resolveFlakeLock } from "../../src/nix/flake-lock.js";
import { parseHex, parsePrefixed, parseSri } from "../../src/nix/hash.js";
import { parseNarInfo } from "../../src/nix/narinfo.js";
import { parsePublicKey, parseSecretKey, parseSignature } from "../../src/nix/signature.js";
import { parseStorePath } from "../../src/nix/store-path.js";
import { parseProjectFile } from "../../src/ops/pack/request.js";
import { parseStrictJson } from "../../src/strict-json.js";
import { bundleSubject, checkApprovals } from "../../src/trust/approval.js";
import { ed25519Key, parseVerificationKey } from "../../src/trust/keys.js";
import { parseStatement } from "../../src/trust/statement.js";
import { makeRelease } from "../support/release.js";
import { golden, goldenFiles, goldenKey, vectors } from "./seeds.js";

const SIZE = 10_000_000;
/** Of processor time. It is under one second; what is not linear takes minutes. */
const MAX_MS = 5000;

const first = (folder: string) => [...vectors(folder).values()][0]!;
const caps = { maxBytes: 2 * SIZE };
const key = parsePublicKey(goldenKey);
const approval = goldenFiles(/^approvals\//)[0]!;
const { document } = makeRelease({ tier: "runtime" });
const path = document.paths[0]!;

function payloadOf(bytes: Buffer): Buffer {
  const { dsseEnvelope } = JSON.parse(bytes.toString()) as { dsseEnvelope: { payload: string } };
  return Buffer.from(dsseEnvelope.payload, "base64");
}

/** With a real text, of which a part becomes long. */
const PARSERS: readonly (readonly [
  name: string,
  text: Buffer | string,
  parse: (bytes: Buffer) => unknown,
])[] = [
  ["narinfo", first("narinfo"), (bytes) => parseNarInfo(bytes.toString("latin1"))],
  ["drv", first("drv"), (bytes) => parseDerivation(bytes)],
  ["flake.lock", first("locks"), (bytes) => resolveFlakeLock(parseFlakeLock(bytes))],
  ["JSON", golden.get("index.json")!, (bytes) => parseStrictJson(bytes, { ...caps, fractions: true })],
  ["canonical JSON", golden.get("index.json")!, (bytes) => parseCanonicalJson(bytes, caps)],
  ["bundle.json", formatDocument(document), parseDocument],
  [
    "approval",
    approval,
    (bytes) => checkApprovals(new Map([["approvals/x", bytes]]), bundleSubject(""), [ed25519Key(key)]),
  ],
  ["statement", payloadOf(approval), parseStatement],
  ["nix-airgap.json", '{ "product": "acme-pump" }\n', parseProjectFile],
  ["trusted key", goldenKey, (bytes) => parseVerificationKey(bytes.toString(), "file")],
  ["public key", goldenKey, (bytes) => parsePublicKey(bytes.toString())],
  ["secret key", goldenKey, (bytes) => parseSecretKey(bytes.toString())],
  ["signature", goldenKey, (bytes) => parseSignature(bytes.toString())],
  ["store path", path.storePath, (bytes) => parseStorePath(bytes.toString())],
  ["content address", path.ca ?? "", (bytes) => parseContentAddress(bytes.toString())],
  ["SRI hash", path.narHash, (bytes) => parseSri(bytes.toString())],
  ["prefixed hash", `sha256:${path.blob}`, (bytes) => parsePrefixed(bytes.toString())],
  ["hex", path.blob, (bytes) => parseHex("sha256", bytes.toString())],
  ["base32", "0".repeat(52), (bytes) => decodeBase32(bytes.toString())],
];

const FILLINGS = ["x", "0", "/", " ", "\n", '"', "\\\\", "[", '{"a":', "a,", "\u00e9"];
/** Of the text, in eighths. */
const PLACES = [0, 3, 6];

describe.each(PARSERS)("%s of ten megabytes", (_, text, parse) => {
  const bytes = Buffer.from(text as string);

  it.each(FILLINGS)("has an answer at once, filled with %j", (filling) => {
    const long = Buffer.alloc(SIZE, filling);
    for (const place of PLACES) {
      const at = Math.floor((bytes.length * place) / 8);
      const input = Buffer.concat([bytes.subarray(0, at), long, bytes.subarray(at)]);
      const before = process.cpuUsage();
      try {
        parse(input);
      } catch (error) {
        if (!(error instanceof AirgapError)) throw error;
      }
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1000).toBeLessThan(MAX_MS);
    }
  });
});
