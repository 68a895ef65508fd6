import { describe, expect, it } from "vitest";
import { formatJson } from "../../src/canonical-json.js";
import type { Statement } from "../../src/generated/types.js";
import {
  type BundleStatement,
  bundleStatement,
  checkBinding,
  formatStatement,
  lockStatement,
  machineStatement,
  type PersonalWord,
  parseStatement,
  policyStatement,
  rollbackStatement,
  saysSigner,
} from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";

const document = sampleDocument();
const SHA256 = "5".repeat(64);
const FILE = "approvals/qa-0.sigstore.json";
const WORD: PersonalWord = {
  signer: { id: "ada@example.org", name: "Ada Example" },
  role: "qa",
  meaning: "reviewed and released",
  decision: "approved",
  signedAt: "2026-02-01T09:00:00Z",
  policy: { sha256: "6".repeat(64), version: 2 },
  documents: [
    { name: "sbom.json", sha256: "7".repeat(64) },
    { name: "notice.txt", sha256: document.docs[0]!.sha256 },
  ],
};

const machine = machineStatement({
  document,
  documentSha256: SHA256,
  role: "packer",
  signedAt: document.created,
  keyName: "acme-1",
});
const bundle = bundleStatement(WORD, document, SHA256);
const rollback = rollbackStatement(WORD, document, {
  sha256: SHA256,
  fromSequence: 9,
  expires: "2026-03-01T00:00:00Z",
});
const persons: readonly [kind: string, statement: Statement][] = [
  ["a person's approval of a bundle", bundle],
  ["an approval of a lock", lockStatement(WORD, SHA256)],
  ["an approval of a policy", policyStatement(WORD, SHA256)],
  ["a rollback authorization", rollback],
];
const all: readonly [kind: string, statement: Statement][] = [["a machine's approval", machine], ...persons];

const refused = expect.objectContaining({ code: "APPROVAL_MALFORMED" });
const textOf = (statement: Statement) => formatStatement(statement).toString();
/** The bytes of a statement with something in it changed. */
function changed(statement: Statement, change: (value: Record<string, never>) => unknown): Buffer {
  const copy = structuredClone(statement);
  change(copy as unknown as Record<string, never>);
  return Buffer.from(formatJson(copy));
}

describe.each(all)("%s", (_, statement) => {
  it("prints and reads back, about exact bytes", () => {
    expect(parseStatement(formatStatement(statement))).toEqual(statement);
    expect(statement.subject.map(({ digest }) => digest.sha256)).toEqual([SHA256]);
  });

  const text = textOf(statement);
  const object = (value: unknown) => value as Record<string, unknown>;
  it.each<[string, Buffer]>([
    ["a key twice", Buffer.from(text.replace('"role":', '"role": "packer",\n    "role":'))],
    ["_type twice", Buffer.from(text.replace("{", '{\n  "_type": "https://in-toto.io/Statement/v1",'))],
    ["an unknown field", changed(statement, (s) => Object.assign(s, { comment: "x" }))],
    [
      "an unknown field in the predicate",
      changed(statement, (s) => Object.assign(s["predicate"]!, { also: 1 })),
    ],
    [
      "an unknown field of the signer",
      changed(statement, (s) => Object.assign(object(s["predicate"])["signer"]!, { email: "x" })),
    ],
    ["a field missing", changed(statement, (s) => delete object(s["predicate"])["signedAt"])],
    [
      "a time that does not exist",
      Buffer.from(text.replace(/"signedAt": ".{10}/, '"signedAt": "2026-02-30')),
    ],
    ["a time in another zone", Buffer.from(text.replace(/("signedAt": ".*)Z"/, '$1+01:00"'))],
    ["hour 24", Buffer.from(text.replace(/("signedAt": ".{10})T../, "$1T24"))],
    [
      "two subjects",
      changed(statement, (s) => Object.assign(s, { subject: [s["subject"]![0], s["subject"]![0]] })),
    ],
    ["no subject", changed(statement, (s) => Object.assign(s, { subject: [] }))],
    [
      "a subject of another name",
      Buffer.from(text.replace(/"name": "(bundle.json|flake.lock|policy.json)"/, '"name": "other"')),
    ],
    ["a digest in capitals", Buffer.from(text.replace(SHA256, "A".repeat(64)))],
    ["another digest besides", Buffer.from(text.replace('"digest": {', '"digest": {\n"sha1": "0",'))],
    ["another _type", Buffer.from(text.replace("Statement/v1", "Statement/v2"))],
    ["an unknown predicate type", Buffer.from(text.replace(/urn:nix-airgap:[a-z0-9:-]*/, "urn:x"))],
    ["an unknown decision", Buffer.from(text.replace('"approved"', '"perhaps"'))],
    ["a role that no file name can have", Buffer.from(text.replace(/"role": ".*?"/, '"role": "../x"'))],
    ["text behind", Buffer.from(`${text}x`)],
    ["a byte order mark", Buffer.from(`\ufeff${text}`)],
    ["bytes that are not UTF-8", Buffer.concat([formatStatement(statement), Buffer.from([0xff])])],
    ["more bytes than an envelope holds", Buffer.from(text + " ".repeat(64 * 1024))],
    ["another value than an object", Buffer.from("[]\n")],
    ["nothing", Buffer.alloc(0)],
  ])("is refused with %s", (_, bytes) => {
    expect(bytes).not.toEqual(formatStatement(statement));
    expect(() => parseStatement(bytes)).toThrow(refused);
  });
});

describe.each(persons)("%s", (_, statement) => {
  const text = textOf(statement);

  it("is read in the layout of another program, as cosign writes it", () => {
    const cosign = { ...statement, _type: "https://in-toto.io/Statement/v0.1" };
    expect(parseStatement(Buffer.from(JSON.stringify(cosign)))).toEqual(cosign);
    const { _type, predicateType, subject, predicate } = statement;
    const reordered = { subject, predicate, predicateType, _type };
    expect(parseStatement(Buffer.from(`\t${JSON.stringify(reordered, null, "\t")}`))).toEqual(statement);
  });

  const CONTROL = ["\\n", "\\r", "\\u0000", "\\u001b", "\\u007f", "\\u009b", "\\u2028", "\\u202e", "\\u2066"];
  it.each(CONTROL)("has no %s in its meaning, nor in a name", (escaped) => {
    for (const field of ["meaning", "name"]) {
      const bytes = text.replace(new RegExp(`("${field}": "[RrAa][a-z]* )`), `$1${escaped}`);
      expect(bytes).not.toBe(text);
      expect(() => parseStatement(Buffer.from(bytes))).toThrow(refused);
    }
  });

  it.each([
    ["no meaning", /"meaning": ".*"/, '"meaning": ""'],
    ["a meaning of 501 characters", /"meaning": ".*"/, `"meaning": "${"x".repeat(501)}"`],
    ["half a surrogate pair", /"meaning": ".*"/, '"meaning": "\\ud800"'],
    ["a name that looks like one and an id", "Ada Example", "Ada <root>"],
    ["an id with a space", '"ada@example.org"', '"ada example"'],
    ["version 0 of a policy", '"version": 2', '"version": 0'],
    ["a document of another folder", "sbom.json", "../sbom.json"],
    ["a document reviewed twice", '"sbom.json"', '"notice.txt"'],
  ])("is refused with %s", (_, from, to) => {
    const bytes = text.replace(from, to);
    expect(bytes).not.toBe(text);
    expect(() => parseStatement(Buffer.from(bytes))).toThrow(refused);
  });

  it("lists what was reviewed by name, in whatever order it was given", () => {
    expect((statement as typeof bundle).predicate.documents.map(({ name }) => name)).toEqual([
      "notice.txt",
      "sbom.json",
    ]);
  });

  it("names its signer", () => expect(saysSigner(statement)).toBe("Ada Example <ada@example.org>"));
});

describe("a machine's approval", () => {
  it("is read only in the bytes that this program writes", () => {
    expect(() => parseStatement(Buffer.from(JSON.stringify(machine)))).toThrow(refused);
    expect(() => parseStatement(Buffer.from(`${textOf(machine)}\n`))).toThrow(refused);
    const older = textOf(machine).replace("Statement/v1", "Statement/v0.1");
    expect(() => parseStatement(Buffer.from(older))).toThrow(refused);
  });

  it("rejects nothing, and says no more than the key's name", () => {
    const rejected = changed(machine, (s) => Object.assign(s["predicate"]!, { decision: "rejected" }));
    expect(() => parseStatement(rejected)).toThrow(refused);
    expect(saysSigner(machine)).toBe("acme-1");
  });

  it("cannot be made with a role, time or key name that it cannot hold", () => {
    const options = {
      document,
      documentSha256: SHA256,
      role: "qa",
      signedAt: document.created,
      keyName: "k",
    };
    const wrong = [
      { role: "../x" },
      { signedAt: "2026-02-30T00:00:00Z" },
      { keyName: "a:b" },
      { keyName: "" },
    ];
    for (const part of wrong) expect(() => machineStatement({ ...options, ...part })).toThrow(refused);
  });
});

describe("a person's word", () => {
  it.each<[string, Partial<PersonalWord>]>([
    ["a line break in its meaning", { meaning: "released\nby all" }],
    ["a time that does not exist", { signedAt: "2026-02-30T00:00:00Z" }],
    ["a document twice", { documents: [WORD.documents[0]!, WORD.documents[0]!] }],
    ["a name with brackets", { signer: { id: "ada", name: "Ada <root>" } }],
  ])("cannot be made with %s", (_, part) => {
    const word = { ...WORD, ...part };
    for (const make of [
      () => bundleStatement(word, document, SHA256),
      () => lockStatement(word, SHA256),
      () => policyStatement(word, SHA256),
      () => rollbackStatement(word, document, { ...rollback.predicate, sha256: SHA256 }),
    ]) {
      expect(make).toThrow(refused);
    }
  });
});

describe("a rollback authorization", () => {
  it("expires at a time that exists", () => {
    const bytes = textOf(rollback).replace('"expires": "2026-03-01', '"expires": "2026-02-30');
    expect(() => parseStatement(Buffer.from(bytes))).toThrow(refused);
  });
});

describe("a statement about a bundle", () => {
  const statements: readonly BundleStatement[] = [machine, bundle, rollback];

  it("binds the document that it was made for", () => {
    for (const statement of statements) expect(checkBinding(statement, document, FILE)).toEqual([]);
  });

  it.each([
    ["product x", { product: "x" }, "acme-pump"],
    ["release x", { release: "x" }, "1.4.0"],
    ["sequence 6", { sequence: 6 }, "5"],
    ["systems aarch64-linux", { systems: ["aarch64-linux"] }, "x86_64-linux"],
    ["systems x86_64-linux, aarch64-linux", { systems: ["x86_64-linux", "aarch64-linux"] }, "x86_64-linux"],
    ["tier source", { tier: "source" as const }, "build"],
  ])("does not bind one with %s", (expected, part, actual) => {
    for (const statement of statements) {
      expect(checkBinding(statement, { ...document, ...part }, FILE)).toEqual([
        { code: "APPROVAL_BINDING", subject: FILE, expected, actual },
      ]);
    }
  });

  it("names every field that differs", () => {
    const other = { product: "x", release: "x", sequence: 0, systems: ["x"], tier: "source" as const };
    for (const statement of statements) {
      const findings = checkBinding(statement, { ...document, ...other }, FILE);
      const words = findings.map(({ expected }) => expected?.split(" ")[0]);
      expect(words).toEqual(["product", "release", "sequence", "systems", "tier"]);
    }
  });

  it("does not bind systems in another order", () => {
    const both = { ...document, systems: ["a", "b"] };
    const statement = bundleStatement(WORD, both, SHA256);
    expect(checkBinding(statement, { ...both, systems: ["b", "a"] }, FILE)).toHaveLength(1);
  });

  it("does not bind a document whose docs are not those that were reviewed", () => {
    const docs = [{ ...document.docs[0]!, sha256: "0".repeat(64) }];
    for (const statement of [bundle, rollback]) {
      expect(checkBinding(statement, { ...document, docs }, FILE)).toEqual([
        {
          code: "APPROVAL_BINDING",
          subject: FILE,
          expected: `the reviewed notice.txt ${"0".repeat(64)}`,
          actual: document.docs[0]!.sha256,
        },
      ]);
    }
    // A machine reviews nothing; and what is not in the bundle may have been reviewed elsewhere.
    expect(checkBinding(machine, { ...document, docs }, FILE)).toEqual([]);
    expect(checkBinding(bundle, { ...document, docs: [] }, FILE)).toEqual([]);
  });
});
