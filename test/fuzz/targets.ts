/**
 * What is fuzzed: every format that reaches this program from outside, with real data to start from and the law that
 * accepted data keeps. How inputs are made, and what counts as a failure, is fuzz.ts's.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkClosure } from "../../src/bundle/closure.js";
import { type Contents, contentsOf } from "../../src/bundle/contents.js";
import { formatDocument, parseDocument } from "../../src/bundle/document.js";
import { knownHashParts } from "../../src/bundle/embedded.js";
import { checkDerived } from "../../src/bundle/inventory.js";
import { blobName, docName } from "../../src/bundle/layout.js";
import { openMedium } from "../../src/bundle/medium.js";
import { checkNames } from "../../src/bundle/names.js";
import { Needs, seedsOf } from "../../src/bundle/needs.js";
import { PackedDerivations } from "../../src/bundle/packed.js";
import { checkPins } from "../../src/bundle/pins.js";
import { completeSignature } from "../../src/bundle/set-approvals.js";
import { tarBytes, walkTar } from "../../src/bundle/tar.js";
import { finishDirectory, writeTar } from "../../src/bundle/write.js";
import { formatJson, parseCanonicalJson } from "../../src/canonical-json.js";
import { AirgapError, CODES, type Code, EXIT } from "../../src/errors.js";
import { validateInspectReport, validateVerifyReport } from "../../src/generated/report-validators.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { NarReading, type NarRequest } from "../../src/host/nar-reading.js";
import { ZstdDecoder } from "../../src/host/zstd.js";
import { decodeBase32, encodeBase32 } from "../../src/nix/base32.js";
import { formatContentAddress, parseContentAddress } from "../../src/nix/content-address.js";
import { formatDerivation, parseDerivation, structuredAttributes } from "../../src/nix/derivation.js";
import { DerivationHasher, derivationReferences } from "../../src/nix/derivation-hash.js";
import { formatFlakeLock, parseFlakeLock, resolveFlakeLock } from "../../src/nix/flake-lock.js";
import {
  formatHex,
  formatNix32,
  formatPrefixedHex,
  formatSri,
  hashOf,
  parseHex,
  parseNix32,
  parsePrefixed,
  parsePrefixedHex,
  parseSri,
} from "../../src/nix/hash.js";
import { NarParser, type NarVisitor, parseNar } from "../../src/nix/nar.js";
import {
  narDirectoryClose,
  narDirectoryOpen,
  narEntryClose,
  narEntryOpen,
  narHeader,
  narRegularClose,
  narRegularOpen,
  narSymlink,
} from "../../src/nix/nar-writer.js";
import { fingerprint, formatNarInfo, parseNarInfo } from "../../src/nix/narinfo.js";
import { ReferenceScanner } from "../../src/nix/references.js";
import {
  formatPublicKey,
  formatSecretKey,
  formatSignature,
  generateSecretKey,
  parsePublicKey,
  parseSecretKey,
  parseSignature,
  toSpkiPem,
  verifyFingerprint,
} from "../../src/nix/signature.js";
import { formatStorePath, parseStorePath } from "../../src/nix/store-path.js";
import type { Context } from "../../src/ops/context.js";
import { inspect } from "../../src/ops/inspect.js";
import { parseProjectFile } from "../../src/ops/pack/request.js";
import { verify } from "../../src/ops/verify.js";
import { type JsonValue, parseStrictJson } from "../../src/strict-json.js";
import { checkApprovals, makeApproval } from "../../src/trust/approval.js";
import { parseTrustedKey } from "../../src/trust/keys.js";
import { checkBinding, formatStatement, makeStatement, parseStatement } from "../../src/trust/statement.js";
import { hostileNars, legalNars } from "../hostile/nars.js";
import { makeRelease, type Release, seal } from "../support/release.js";
import {
  atermMembers,
  jsonRepaired,
  jsonValues,
  looseBase64,
  narTokens,
  signedAgain,
  tarHeaders,
  tarMembers,
} from "./format-mutations.js";
import type { Refusal, Target } from "./fuzz.js";
import { MAX_INPUT } from "./mutate.js";
import { decompress, golden, goldenBlobs, goldenFiles, goldenKey, vectors } from "./seeds.js";

const ACCEPTED: readonly Refusal[] = [];

/** Says which law of accepted data does not hold: a failure, unlike an AirgapError. */
function requireLaw(holds: boolean, law: string): asserts holds {
  if (!holds) throw new Error(`broken: ${law}`);
}

function requireSame(actual: Uint8Array | string, expected: Uint8Array | string, law: string): void {
  requireLaw(Buffer.from(actual as string).equals(Buffer.from(expected as string)), law);
}

/** What `work` throws of our own errors. */
function refusalOf(work: () => void): Refusal | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof AirgapError) return { ...error.details, code: error.code };
    throw error;
  }
}

/** `bytes` in pieces, whose sizes follow from the bytes themselves. */
function* pieces(bytes: Buffer): Generator<Buffer> {
  let state = bytes.length + 1;
  for (let at = 0; at < bytes.length; ) {
    state = (Math.imul(state, 1103515245) + 12345 + bytes[at]!) >>> 0;
    const size = 1 + ((state >>> 16) % (bytes.length > 4096 ? 1999 : 67));
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const codes = (...list: readonly Code[]): ReadonlySet<Code> => new Set(list);
const words = (...list: readonly string[]): Buffer[] => list.map((word) => Buffer.from(word, "latin1"));
const small = (list: Iterable<Buffer>): Buffer[] => [...list].filter(({ length }) => length <= MAX_INPUT);

const packer = generateSecretKey("packer-1", new Uint8Array(32).fill(1));
const stranger = generateSecretKey("stranger-1", new Uint8Array(32).fill(2));
const releases: readonly Release[] = [
  makeRelease({ tier: "runtime" }),
  makeRelease(),
  makeRelease({ wrapper: true }),
];
const [release] = releases as [Release];
const releaseNars = releases.flatMap(({ document, blobs }) =>
  document.paths.map(({ blob }) => decompress(blobs.get(blob)!)),
);
const goldenNars = small(goldenBlobs.map(decompress));

const NAR_CODES = codes(
  "NAR_MAGIC",
  "NAR_TRUNCATED",
  "NAR_TRAILING",
  "NAR_PADDING",
  "NAR_FIELD",
  "NAR_ENTRY_NAME",
  "NAR_ENTRY_ORDER",
  "NAR_ENTRY_DUPLICATE",
  "NAR_SYMLINK_TARGET",
  "NAR_DEPTH",
  "NAR_LIMIT",
);
const narMaterial = {
  seeds: small([
    ...vectors("nar").values(),
    ...goldenNars,
    ...releaseNars,
    ...[...hostileNars, ...legalNars].map(({ bytes }) => bytes),
  ]),
  words: [
    narHeader(),
    narDirectoryOpen(),
    narDirectoryClose(),
    narEntryOpen(Buffer.from("a")),
    narEntryOpen(Buffer.from("z")),
    narRegularOpen({ executable: true, size: 1 }),
    narRegularOpen({ executable: false, size: 8 }),
    narRegularClose(1),
    narSymlink(Buffer.from("a")),
  ].map((bytes) => Buffer.from(bytes)),
  mutations: [narTokens],
  codes: NAR_CODES,
};

const nar: Target = {
  ...narMaterial,
  name: "nar",
  share: 1,
  run(bytes) {
    const written: Uint8Array[] = [narHeader()];
    const refusal = refusalOf(() => parseNar(bytes, rewriter(written)));
    const bare = refusalOf(() => parseNar(bytes));
    const parser = new NarParser({ collision: () => undefined });
    const cut = refusalOf(() => {
      for (const piece of pieces(bytes)) parser.update(piece);
      parser.end();
    });
    for (const other of [bare, cut]) {
      requireLaw(
        JSON.stringify(other) === JSON.stringify(refusal),
        "the answer is one, however the NAR is read",
      );
    }
    if (refusal !== undefined) return [refusal];
    requireSame(Buffer.concat(written), bytes, "an accepted NAR is what we would write");
    return ACCEPTED;
  },
};

/** Writes what it hears of, and judges by itself what the bytes cannot show: names, their order, and targets. */
function rewriter(out: Uint8Array[]): NarVisitor {
  const nameOf = (path: string) => Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1");
  const lastNames: Buffer[] = [];
  const open = (path: string) => {
    if (path === "") return;
    const name = nameOf(path);
    const depth = path.split("/").length - 1;
    const last = lastNames[depth];
    requireLaw(last === undefined || Buffer.compare(last, name) < 0, "the entries of a directory are sorted");
    requireLaw(!["", ".", ".."].includes(path.split("/").at(-1)!) && !path.includes("\0"), "names are legal");
    requireLaw(name.length <= 255 && depth < 64, "names and depth keep their limits");
    lastNames.length = depth + 1;
    lastNames[depth] = name;
    out.push(narEntryOpen(name));
  };
  const close = (path: string) => {
    if (path !== "") out.push(narEntryClose());
  };
  let current = { path: "", size: 0 };
  return {
    directoryEnter(path) {
      open(path);
      out.push(narDirectoryOpen());
    },
    directoryLeave(path) {
      out.push(narDirectoryClose());
      close(path);
    },
    regular(file) {
      current = file;
      open(file.path);
      out.push(narRegularOpen(file));
    },
    contents: (chunk, start, end) => out.push(Buffer.from(chunk.subarray(start, end))),
    regularEnd() {
      out.push(narRegularClose(current.size));
      close(current.path);
    },
    symlink(path, target) {
      requireLaw(target !== "" && target.length <= 4095 && !target.includes("\0"), "targets are legal");
      open(path);
      out.push(narSymlink(Buffer.from(target, "latin1")));
      close(path);
    },
    collision: () => undefined,
  };
}

const hashParts = releases.flatMap(({ document }) =>
  document.paths.map(({ storePath }) => storePath.slice(11, 43)),
);
const scanner = new ReferenceScanner(hashParts);

const narReading: Target = {
  ...narMaterial,
  name: "nar-reading",
  share: 0.5,
  run(bytes) {
    if (bytes.length === 0) return [{ code: "NAR_TRUNCATED" }];
    const request: NarRequest = {
      subject: "it",
      narHash: formatSri(hashOf("sha256", bytes)),
      narSize: bytes.length,
      scan: true,
      contentHash:
        bytes.length % 2 === 0
          ? { method: "flat", algorithm: "sha1" }
          : { method: "nar", algorithm: "sha256", selfHashPart: hashParts[0]! },
      capture: ["", "flake.nix", "flake.lock", "a"],
      findPrebuilt: true,
    };
    const read = (list: Iterable<Buffer>) => {
      const reading = new NarReading(request, scanner);
      for (const piece of list) requireLaw(reading.update(piece), "a NAR of its own size is read to its end");
      const { findings, narHash, contents } = reading.finish(true);
      const captured = [...(contents?.captured ?? [])].map(([path, file]) => [
        path,
        file && Buffer.from(file).toString("hex"),
      ]);
      return { findings, answer: JSON.stringify({ findings, narHash, contents, captured }) };
    };
    const whole = read([bytes]);
    requireLaw(read(pieces(bytes)).answer === whole.answer, "the answer is one, however the NAR is read");
    return whole.findings;
  },
};

const narinfo: Target = {
  name: "narinfo",
  share: 1,
  codes: codes("NARINFO_INVALID"),
  seeds: [...vectors("narinfo").values(), ...goldenFiles(/\.narinfo$/)],
  words: words(
    "StorePath: ",
    "URL: ",
    "Compression: ",
    "FileHash: ",
    "FileSize: ",
    "NarHash: sha256:",
    "NarSize: ",
    "References: ",
    "Deriver: ",
    "Sig: ",
    "CA: fixed:r:sha256:",
    "CA: text:sha256:",
    "/nix/store/",
    "../",
    "\r\n",
    ": ",
  ),
  mutations: [looseBase64],
  run(bytes) {
    const text = bytes.toString("latin1");
    const info = parseNarInfo(text);
    requireLaw(formatNarInfo(info) === text, "an accepted narinfo is what we would write");
    requireLaw(!fingerprint(info).includes("\n"), "a fingerprint is one line");
    for (const signature of info.signatures)
      verifyFingerprint(fingerprint(info), signature, packer.publicKey);
    return ACCEPTED;
  },
};

const drv: Target = {
  name: "drv",
  share: 1,
  codes: codes("DERIVATION_INVALID", "DERIVATION_UNSUPPORTED"),
  seeds: [
    ...vectors("drv").values(),
    ...releases.flatMap(({ derivations }) =>
      [...derivations.values()].map((each) => Buffer.from(formatDerivation(each))),
    ),
  ],
  words: words(
    "Derive(",
    "DrvWithVersion(",
    '("out","',
    '","","")',
    '"r:sha256"',
    '"text:sha256"',
    '"impure"',
    '[("',
    '"],[',
    '\\"',
    "\\\\",
    "\\n",
    "/nix/store/",
    '.drv",["out"])',
    "__json",
    ")",
    "]",
    ",",
  ),
  mutations: [atermMembers],
  run(bytes) {
    const derivation = parseDerivation(bytes);
    requireSame(formatDerivation(derivation), bytes, "an accepted .drv is what we would write");
    for (const list of [derivation.inputSrcs, ...derivation.inputDrvs.values()]) {
      requireLaw(
        list.every((text, i) => i === 0 || list[i - 1]! < text),
        "lists that are sets are sorted, each member once",
      );
    }
    derivationReferences(derivation);
    const path = `/nix/store/${"0".repeat(32)}-${derivation.env.get("name") ?? "x"}.drv`;
    const lookup = (wanted: string) => (wanted === path ? derivation : allDerivations.get(wanted));
    refusalOf(() => new DerivationHasher(lookup).outputPaths(path));
    const json = structuredAttributes(derivation);
    if (json !== undefined) refusalOf(() => parseStrictJson(json, { maxBytes: MAX_INPUT, fractions: true }));
    return ACCEPTED;
  },
};

const flakeLock: Target = {
  name: "flake-lock",
  share: 1,
  codes: codes("FLAKE_LOCK_INVALID"),
  seeds: [
    ...vectors("locks").values(),
    ...releases.map(({ document }) => Buffer.from(document.flake.lock ?? "")),
  ],
  words: words(
    '"nodes"',
    '"root"',
    '"inputs"',
    '"locked"',
    '"original"',
    '"parent"',
    '"narHash"',
    '"type"',
    '"path"',
    '"flake": false',
    '"info": {}',
    '"version": 5',
    "[]",
    '["a","b"]',
  ),
  mutations: [jsonValues],
  run(bytes) {
    const lock = parseFlakeLock(bytes);
    const printed = formatFlakeLock(lock);
    const again = formatFlakeLock(parseFlakeLock(Buffer.from(printed)));
    requireLaw(lock.version !== 7 || again === printed, "a printed lock is read as the same lock");
    for (const { inputs, parent } of resolveFlakeLock(lock)) {
      for (const key of [...inputs.values(), ...(parent === undefined ? [] : [parent])]) {
        requireLaw(lock.nodes.has(key), "inputs lead to nodes");
      }
    }
    return ACCEPTED;
  },
};

/** A file of its own for each that asks, gone at the end. */
function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "nix-airgap-fuzz-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Made when it is first wanted. */
function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const scratchDir = lazy(scratch);
const tarFile = lazy(() => openSync(join(scratch(), "a.tar"), "w+"));

const tar: Target = {
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
    const { members, findings } = walkTar(file, bytes.length, { maxMembers: 50 });
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

const jsonWords = words(
  '"__proto__":',
  '"constructor":',
  "\\u0000",
  "\\ud800",
  "\\udc00",
  "\\u007f",
  "\ufeff",
  "\xef\xbb\xbf",
  "\xed\xa0\x80",
  "9007199254740993",
  "-0",
  "1e5",
  "0.5",
  "null",
  "true",
  "[",
  "{",
  '"',
  "}",
  "]",
  ",",
  ":",
  "//",
  "\n  ",
);

const json: Target = {
  name: "json",
  share: 1,
  codes: codes("JSON_INVALID", "JSON_NOT_CANONICAL"),
  seeds: [
    ...words(
      '{"a":[1,-20,"x\\u00e9\\n",true,null],"b":{"c":"\xe2\x82\xac"}}',
      '{\n  "a": [\n    1\n  ],\n  "\xf0\x9f\x98\x80": "\\u007f"\n}\n',
      "[1.5,1e3,-2.5E-2,0]",
      `${"[".repeat(64)}${"]".repeat(64)}`,
    ),
    golden.get("index.json")!,
    ...vectors("locks").values(),
  ],
  words: jsonWords,
  mutations: [jsonValues],
  run(bytes) {
    const caps = { maxBytes: MAX_INPUT };
    const loose = refusalOf(() =>
      requireAsJsonParse(parseStrictJson(bytes, { ...caps, fractions: true }), bytes),
    );
    const strict = refusalOf(() => requireAsJsonParse(parseStrictJson(bytes, caps), bytes));
    requireLaw(loose === undefined || strict !== undefined, "fractions only allow more");
    requireLaw(
      Object.getOwnPropertyNames(Object.prototype).length === PROTOTYPE_NAMES,
      "Object.prototype is as it was",
    );
    if (strict !== undefined) return [strict];
    const printed = formatJson(parseStrictJson(bytes, caps));
    requireSame(
      formatJson(parseCanonicalJson(Buffer.from(printed), { maxBytes: 10 * MAX_INPUT })),
      printed,
      "printing is final",
    );
    parseCanonicalJson(bytes, caps);
    requireSame(printed, bytes, "accepted canonical JSON is what we would write");
    return ACCEPTED;
  },
};
const PROTOTYPE_NAMES = Object.getOwnPropertyNames(Object.prototype).length;

function requireAsJsonParse(value: JsonValue, bytes: Buffer): void {
  const text = bytes.toString();
  requireLaw(JSON.stringify(value) === JSON.stringify(JSON.parse(text)), "strict JSON is JSON");
  // JSON.parse drops a repeated key, and so would we.
  const colons = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').split(":").length - 1;
  requireLaw(countKeys(value) === colons, "every key counts");
}

function countKeys(value: JsonValue): number {
  if (typeof value !== "object" || value === null) return 0;
  const members = Object.values(value) as JsonValue[];
  return members.reduce<number>(
    (sum, member) => sum + countKeys(member),
    Array.isArray(value) ? 0 : members.length,
  );
}

const documents = [...releases.map(({ document }) => formatDocument(document)), golden.get("bundle.json")!];
const allDerivations = new Map(releases.flatMap(({ derivations }) => [...derivations]));
const PACKED = [new PackedDerivations(new Map()), new PackedDerivations(allDerivations)];

const document: Target = {
  name: "document",
  share: 0.25,
  codes: codes(
    "JSON_INVALID",
    "JSON_NOT_CANONICAL",
    "DOCUMENT_SCHEMA",
    "DOCUMENT_ORDER",
    "DOCUMENT_DUPLICATE",
    "DOCUMENT_TOTALS",
    "DOCUMENT_VALUE",
    "VERSION_UNSUPPORTED",
    "FEATURE_UNSUPPORTED",
    "REQUIRES_UNSUPPORTED",
  ),
  seeds: documents,
  words: [
    ...jsonWords,
    ...words('"paths"', '"kinds": []', "/nix/store/", "sha256-", '"1.1"', '"2.0"', '"signatures"'),
  ],
  mutations: [jsonRepaired((value) => seal(value as unknown as BundleDocument))],
  run(bytes) {
    const { document, findings } = parseDocument(bytes);
    if (document === null) {
      requireLaw(findings.length > 0, "no document without a finding");
      return findings;
    }
    requireSame(formatDocument(document), bytes, "an accepted document is what we would write");
    const thrown = refusalOf(() => {
      contentsOf(document, bytes, new Map());
      checkPins(document);
      for (const packed of PACKED) {
        new Needs(document, seedsOf(document, packed));
        const { complete } = checkClosure(document, packed);
        checkNames(document, packed, complete);
        knownHashParts(document, packed);
      }
    });
    requireLaw(thrown === undefined, `what an accepted document leads to is findings, not ${thrown?.code}`);
    return ACCEPTED;
  },
};

const documentSha256 = formatHex(hashOf("sha256", documents[0]!));
const about = { document: release.document, documentSha256, signedAt: release.document.created };
const statement = makeStatement({ ...about, role: "packer", keyName: "packer-1" });
const approvalName = makeApproval(statement, packer).fileName;
const goldenApproval = goldenFiles(/^approvals\//)[0]!;

const approval: Target = {
  name: "approval",
  share: 0.25,
  codes: codes(
    "APPROVAL_MALFORMED",
    "APPROVAL_SIGNATURE",
    "APPROVAL_SUBJECT",
    "APPROVAL_NAME",
    "APPROVAL_UNTRUSTED",
    "APPROVAL_BINDING",
  ),
  seeds: [
    makeApproval(statement, packer).bytes,
    makeApproval(makeStatement({ ...about, role: "qa", keyName: "packer-1" }), packer).bytes,
    makeApproval(makeStatement({ ...about, role: "packer", keyName: "x" }), stranger).bytes,
    goldenApproval,
  ],
  words: [
    ...jsonWords,
    ...words(
      '"dsseEnvelope"',
      '"payloadType"',
      '"signatures"',
      '"sig"',
      '"keyid": ""',
      "=",
      "==",
      "+",
      "/",
      "-",
      "_",
    ),
  ],
  mutations: [jsonValues, looseBase64, signedAgain(packer), signedAgain(packer), signedAgain(stranger)],
  run(bytes) {
    const files = new Map([[approvalName, bytes]]);
    const { approvals, findings } = checkApprovals(files, documentSha256, [
      packer.publicKey,
      parsePublicKey(goldenKey),
    ]);
    const [checked] = approvals;
    requireLaw(findings.length > 0 || checked?.state === "valid", "only a valid approval has no finding");
    if (checked?.state !== "valid") return findings;
    requireSame(
      makeApproval(checked.statement, packer).bytes,
      bytes,
      "an accepted approval is what we would write",
    );
    return checkBinding(checked.statement, release.document, approvalName);
  },
};

const statements: Target = {
  name: "statement",
  share: 0.5,
  codes: codes("APPROVAL_MALFORMED", "APPROVAL_BINDING"),
  seeds: [
    formatStatement(statement),
    Buffer.from(
      (JSON.parse(goldenApproval.toString()) as { dsseEnvelope: { payload: string } }).dsseEnvelope.payload,
      "base64",
    ),
  ],
  words: [
    ...jsonWords,
    ...words('"predicate"', '"subject"', '"packer"', '"decision"', '"signedAt"', "2024-02-30T00:00:00Z"),
  ],
  mutations: [jsonValues],
  run(bytes) {
    const parsed = parseStatement(bytes);
    requireSame(formatStatement(parsed), bytes, "an accepted statement is what we would write");
    return checkBinding(parsed, release.document, "it");
  },
};

const NAMES: readonly ((text: string) => string)[] = [
  (text) => formatStorePath(parseStorePath(text)),
  (text) => encodeBase32(decodeBase32(text)),
  (text) => formatSri(parseSri(text)),
  (text) => formatHex(parseHex("sha256", text)),
  (text) => formatNix32(parseNix32(text)),
  (text) => formatPrefixedHex(parsePrefixedHex(text)),
  (text) => formatContentAddress(parseContentAddress(text)),
];

const names: Target = {
  name: "names",
  share: 1,
  codes: codes("STORE_PATH_INVALID", "BASE32_INVALID", "HASH_INVALID", "CONTENT_ADDRESS_INVALID"),
  seeds: [
    ...release.document.paths.flatMap(({ storePath, narHash, ca, blob }) => [
      storePath,
      narHash,
      ca ?? "",
      blob,
    ]),
    ...(["md5", "sha1", "sha256", "sha512"] as const).flatMap((algorithm) => {
      const hash = hashOf(algorithm, "");
      return [formatSri(hash), formatNix32(hash), formatPrefixedHex(hash), `fixed:${formatNix32(hash)}`];
    }),
  ].map((text) => Buffer.from(text)),
  words: words(
    "/nix/store/",
    "sha256:",
    "sha256-",
    "md5:",
    "sha512-",
    "fixed:",
    "fixed:r:",
    "text:",
    "text:sha256:",
    "-",
    ".drv",
    "=",
    "?",
    "%",
    "/",
  ),
  mutations: [],
  run(bytes) {
    const text = bytes.toString();
    refusalOf(() => parsePrefixed(text));
    const refusals = NAMES.map((read) =>
      refusalOf(() => requireLaw(read(text) === text, "accepted text is what we would write")),
    );
    return refusals.includes(undefined) ? ACCEPTED : refusals.flatMap((refusal) => refusal ?? []);
  },
};

const KEYS: readonly ((text: string) => string)[] = [
  (text) => formatPublicKey(parsePublicKey(text)),
  (text) => formatSecretKey(parseSecretKey(text)),
  (text) => formatSignature(parseSignature(text)),
  // A line feed may follow it.
  (text) => {
    const key = parseTrustedKey(text, "file");
    const line = `${formatPublicKey(key)}`;
    return [line, `${line}\n`, toSpkiPem(key).trimEnd(), toSpkiPem(key)].find((form) => form === text) ?? "";
  },
];

const keys: Target = {
  name: "keys",
  share: 0.5,
  codes: codes("KEY_INVALID", "SIGNATURE_INVALID"),
  seeds: [
    formatPublicKey(packer.publicKey),
    `${goldenKey}\n`,
    formatSecretKey(packer),
    toSpkiPem(packer.publicKey),
    ...[...vectors("narinfo").values()].flatMap((info) => parseNarInfo(info.toString("latin1")).signatures),
    `order-1:${Buffer.from([1, ...Buffer.alloc(31)]).toString("base64")}`,
  ].map((text) => Buffer.from(text)),
  words: words(
    "-----BEGIN PUBLIC KEY-----\n",
    "\n-----END PUBLIC KEY-----\n",
    "MCowBQYDK2VwAyEA",
    ":",
    "=",
    "==",
    "A",
    "\n",
    " ",
    "_",
    "-",
  ),
  mutations: [looseBase64],
  run(bytes) {
    const text = bytes.toString();
    const refusals = KEYS.map((read) =>
      refusalOf(() => requireLaw(read(text) === text, "an accepted key is what we would write")),
    );
    return refusals.includes(undefined) ? ACCEPTED : refusals.flatMap((refusal) => refusal ?? []);
  },
};

/** As a NAR's size caps what its blob may expand to. */
const ZSTD_CAP = 1024 * 1024;
const decoder = new ZstdDecoder();

const zstd: Target = {
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

const signature = new Map([[approvalName, makeApproval(statement, packer).bytes]]);

const indexBundle = lazy(async (): Promise<{ dir: string; contents: Contents }> => {
  const dir = join(scratch(), "bundle");
  for (const folder of ["blobs/sha256", "docs"]) mkdirSync(join(dir, folder), { recursive: true });
  for (const { blob } of release.document.paths) {
    writeFileSync(join(dir, blobName(blob)), release.blobs.get(blob)!);
  }
  for (const { name, sha256 } of release.document.docs) {
    writeFileSync(join(dir, docName(name)), release.blobs.get(sha256)!);
  }
  await finishDirectory(dir, release.document, signature);
  return { dir, contents: contentsOf(release.document, documents[0]!, signature) };
});

const index: Target = {
  name: "index",
  share: 0.02,
  codes: codes("INDEX_MANIFEST", "FILE_TOO_LARGE"),
  seeds: [
    golden.get("index.json")!,
    contentsOf(release.document, documents[0]!, signature).files.get("index.json") as Buffer,
  ],
  words: [...jsonWords, ...words('"manifests"', '"digest"', '"sha256:')],
  mutations: [jsonValues],
  async run(bytes) {
    const { dir, contents } = await indexBundle();
    writeFileSync(join(dir, "index.json"), bytes);
    const { medium } = await openMedium(dir, { allowExtra: false });
    const { findings } = await checkDerived(medium, contents, new AbortController().signal);
    if (findings.length > 0) return findings;
    const { manifests } = JSON.parse(bytes.toString()) as { manifests: { digest?: string }[] };
    requireLaw(
      manifests.every((each) => each?.digest === contents.manifest?.digest),
      "an accepted index names the manifest, and nothing else",
    );
    return ACCEPTED;
  },
};

const signedTar = lazy(async (): Promise<Buffer> => {
  const { dir } = await indexBundle();
  const tar = `${dir}.tar`;
  await writeTar(dir, tar, { document: release.document, approvals: signature, report: () => {} });
  return readFileSync(tar);
});
const context: Context = {
  report: () => {},
  signal: new AbortController().signal,
  env: {},
  now: () => new Date(0),
  workerEntry: new URL("about:blank"), // what documentOnly leaves out
  tmpDir: tmpdir(),
  cwd: tmpdir(),
};

const bundle: Target = {
  name: "bundle",
  share: 0.04,
  codes: new Set(
    (Object.keys(CODES) as Code[]).filter((code) => {
      const exits: readonly number[] = [EXIT.malformed, EXIT.integrity, EXIT.trust, EXIT.incomplete];
      return exits.includes(CODES[code].exit);
    }),
  ),
  seeds: [await signedTar()],
  words: [
    ...tar.words,
    ...words("bundle.json", "approvals/", "index.json", "docs/x", "blobs/sha256/", ".narinfo"),
  ],
  mutations: [tarHeaders, tarMembers],
  async run(bytes) {
    const path = join(scratchDir(), "bundle.tar");
    writeFileSync(path, bytes);
    const options = {
      publicKeys: [packer.publicKey],
      integrityOnly: false,
      documentOnly: true,
      allowExtra: false,
    };
    const report = await verify(path, options, context);
    requireReport(validateVerifyReport, report);
    requireLaw((report.exit === 0) === (report.findings.length === 0), "findings, or exit 0");
    if (report.exit !== 0) return report.findings.map(({ code }) => ({ code: code as Code }));
    const [ours, theirs] = [signedParts(await signedTar()), signedParts(bytes)];
    requireLaw(ours === theirs, "an accepted bundle is the one that was signed");
    return ACCEPTED;
  },
};

/** All of a tar but what reading the document alone does not look at, and what OCI tools may rewrite. */
function signedParts(bytes: Buffer): string {
  const path = join(scratchDir(), "parts.tar");
  writeFileSync(path, bytes);
  const file = openSync(path, "r");
  try {
    const blobs = new Set(release.document.paths.map(({ blob }) => blobName(blob)));
    const docs = new Set(
      release.document.docs.flatMap(({ name, sha256 }) => [docName(name), blobName(sha256)]),
    );
    const { members } = walkTar(file, bytes.length, { maxMembers: 1000 });
    const parts = members.map(({ name, offset, size }) => {
      const isFree = blobs.has(name) || docs.has(name) || name === "index.json";
      return isFree ? name : `${name} ${formatHex(hashOf("sha256", bytes.subarray(offset, offset + size)))}`;
    });
    return parts.join("\n");
  } finally {
    closeSync(file);
  }
}

function requireReport(
  validate: ((value: unknown) => boolean) & { errors?: unknown },
  report: unknown,
): void {
  requireLaw(validate(report), `a report fits its schema: ${JSON.stringify(validate.errors)}`);
}

const inspection: Target = {
  name: "inspect",
  share: 0.04,
  codes: document.codes,
  seeds: documents,
  words: document.words,
  mutations: [jsonValues, ...document.mutations],
  async run(bytes) {
    const dir = join(scratchDir(), "inspected");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "bundle.json"), bytes);
    const report = await inspect(dir, { tree: true, sizes: true }, context);
    requireReport(validateInspectReport, report);
    if (report.document !== null) return ACCEPTED;
    return report.problems.map(({ code }) => ({ code: code as Code }));
  },
};

const journalTar = tarBytes([
  ["bundle.json", documents[0]!.subarray(0, 600)],
  ["roots.txt", Buffer.from("x\n")],
  ["index.json", Buffer.from("{}\n")],
]);
const journalHead = `nix-airgap-tail 1 2560 ${formatHex(hashOf("sha256", documents[0]!.subarray(0, 600)))}\n`;
const journalPath = lazy(() => join(scratch(), "bundle.tar"));

const journal: Target = {
  name: "journal",
  share: 0.02,
  codes: codes("TAIL_INVALID"),
  seeds: [
    Buffer.concat([Buffer.from(journalHead), tarBytes([["index.json", Buffer.from("[]\n")]])]),
    Buffer.from(journalHead),
  ],
  words: words("nix-airgap-tail 1 ", "\n", " 0 ", " 512 ", " 1536 ", " 2560 ", " 9007199254740993 "),
  mutations: [],
  async run(bytes) {
    const path = journalPath();
    writeFileSync(path, journalTar);
    writeFileSync(`${path}.tail`, bytes);
    try {
      requireLaw(await completeSignature(path), "a journal that is there is applied, or refused");
    } catch (error) {
      requireSame(readFileSync(path), journalTar, "a refused journal changes nothing");
      throw error;
    }
    const end = bytes.indexOf("\n");
    const cut = Number(bytes.toString("latin1", 0, end).split(" ")[2]);
    requireSame(
      readFileSync(path),
      Buffer.concat([journalTar.subarray(0, cut), bytes.subarray(end + 1)]),
      "the tar ends in the journal's tail",
    );
    requireLaw(cut <= journalTar.length && !existsSync(`${path}.tail`), "an applied journal is gone");
    return ACCEPTED;
  },
};

const project: Target = {
  name: "project-file",
  share: 0.5,
  codes: codes("PROJECT_FILE"),
  seeds: words(
    '{ "product": "acme-pump" }\n',
    '{"product":"a","release":"1.0","attrs":["packages.x86_64-linux.default"],"tier":"source","systems":["x86_64-linux"]}',
  ),
  words: jsonWords,
  mutations: [jsonValues],
  run(bytes) {
    parseProjectFile(bytes);
    return ACCEPTED;
  },
};

export const targets: readonly Target[] = [
  nar,
  narReading,
  narinfo,
  drv,
  flakeLock,
  tar,
  json,
  document,
  approval,
  statements,
  names,
  keys,
  zstd,
  index,
  bundle,
  inspection,
  journal,
  project,
];
