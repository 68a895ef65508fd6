/**
 * A packed bundle in the hands of an attacker: all of its files in memory, to be changed, hashed again, signed again
 * with whatever key they hold, and written out as directory or tar. It knows the format as well as we do, and no scruple.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { contentsOf } from "../../src/bundle/contents.js";
import { formatDocument } from "../../src/bundle/document.js";
import {
  blobName,
  classify,
  DOCUMENT_NAME,
  docName,
  narinfoName,
  tarOrder,
} from "../../src/bundle/layout.js";
import { tarBytes } from "../../src/bundle/tar.js";
import type { BundleDocument, Path } from "../../src/generated/types.js";
import { formatHex, hashOf, parseSri } from "../../src/nix/hash.js";
import { fingerprint } from "../../src/nix/narinfo.js";
import { type SecretKey, signFingerprint } from "../../src/nix/signature.js";
import { makeApproval } from "../../src/trust/approval.js";
import { signingKey } from "../../src/trust/signing.js";
import { machineStatement } from "../../src/trust/statement.js";
import { describeNar, pathOf, seal } from "../support/release.js";

export type Form = "directory" | "tar";

export class Victim {
  /** By name in the bundle. Attacks change these as they like. */
  readonly files: Map<string, Buffer>;
  /** What bundle.json said when it was read; changes count once it is forged. */
  readonly document: BundleDocument;
  /** What it says of itself where the new text cannot be read. */
  readonly #original: BundleDocument;

  private constructor(files: ReadonlyMap<string, Buffer>) {
    this.files = new Map(files);
    this.document = JSON.parse(this.get(DOCUMENT_NAME).toString()) as BundleDocument;
    this.#original = structuredClone(this.document);
  }

  /** Of a bundle in directory form. */
  static read(bundle: string): Victim {
    const files = readdirSync(bundle, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    return new Victim(new Map(files.map((file) => [file.slice(bundle.length + 1), readFileSync(file)])));
  }

  /** Another to be changed in its turn. */
  clone(): Victim {
    return new Victim(this.files);
  }

  get(name: string): Buffer {
    const bytes = this.files.get(name);
    if (bytes === undefined) throw new Error(`the bundle has no ${name}`);
    return bytes;
  }

  /** The one file whose name matches. */
  name(pattern: RegExp): string {
    const names = [...this.files.keys()].filter((name) => pattern.test(name)).sort();
    if (names[0] === undefined) throw new Error(`the bundle has no ${pattern}`);
    return names[0];
  }

  edit(name: string, change: (text: string) => string): void {
    const before = this.get(name).toString("latin1");
    const after = change(before);
    if (after === before) throw new Error(`${name} was not changed`);
    this.files.set(name, Buffer.from(after, "latin1"));
  }

  /** The first path whose name, without its hash, matches. */
  path(pattern: RegExp): Path {
    const found = this.document.paths.find(({ storePath }) => pattern.test(storePath.slice(44)));
    if (found === undefined) throw new Error(`the document has no path ${pattern}`);
    return found;
  }

  nar({ blob }: Path): Buffer {
    return execFileSync("zstd", ["-dc"], { input: this.get(blobName(blob)), maxBuffer: 2 ** 30 });
  }

  /** Gives a path another NAR, with hashes and sizes that fit it. */
  setNar(path: Path, nar: Uint8Array): void {
    this.#dropBlob(path);
    this.addNar(path, nar);
  }

  /** The same, where the path had none. */
  addNar(path: Path, nar: Uint8Array): void {
    const { fields, blob } = describeNar(nar);
    Object.assign(path, fields);
    this.files.set(blobName(fields.blob), blob);
  }

  /** Gives a path other compressed bytes: what they expand to is the caller's. */
  setBlob(path: Path, bytes: Buffer): void {
    this.#dropBlob(path);
    Object.assign(path, { blob: formatHex(hashOf("sha256", bytes)), blobSize: bytes.length });
    this.files.set(blobName(path.blob), bytes);
  }

  /** A report beside the bundle's paths, such as an SBOM. */
  addDoc(name: string, text: string): void {
    const bytes = Buffer.from(text);
    const sha256 = formatHex(hashOf("sha256", bytes));
    this.document.docs.push({ mediaType: "application/json", name, sha256, size: bytes.length });
    for (const file of [docName(name), blobName(sha256)]) this.files.set(file, bytes);
  }

  /** Takes a path out of the document, with its files. */
  drop(path: Path): void {
    this.#dropBlob(path);
    this.files.delete(narinfoName(path.storePath));
    this.document.paths.splice(this.document.paths.indexOf(pathOf(this.document, path.storePath)), 1);
  }

  /** Signs all paths again, as pack does. */
  signPaths(key: SecretKey): void {
    for (const path of this.document.paths) {
      const others = path.signatures.filter((text) => !text.startsWith(`${key.publicKey.name}:`));
      const own = signFingerprint(fingerprint({ ...path, narHash: parseSri(path.narHash) }), key);
      path.signatures = [...others, own].sort();
    }
  }

  /** Makes everything fit the changed document, and approves it: whoever holds `key` can do all of this. */
  forge(key: SecretKey): void {
    seal(this.document);
    this.#replaceDocument(formatDocument(this.document), key, this.document);
    const approvals = new Map([...this.files].filter(([name]) => classify(name) === "approval"));
    const { files } = contentsOf(this.document, this.get(DOCUMENT_NAME), approvals);
    for (const name of this.files.keys()) if (!files.has(name)) this.files.delete(name);
    for (const [name, bytes] of files) if (Buffer.isBuffer(bytes)) this.files.set(name, bytes);
  }

  /** Any bytes as the document, approved; what follows from it stays as it was. */
  forgeText(text: string | Buffer, key: SecretKey): void {
    this.#replaceDocument(Buffer.from(text as string), key, this.#original);
  }

  /** Writes it to a new bundle in `dir`. Names may be any that the form can hold. */
  write(dir: string, form: Form): string {
    const path = join(dir, form === "tar" ? "bundle.tar" : "bundle");
    if (form === "tar") {
      writeFileSync(path, this.tar());
      return path;
    }
    for (const folder of ["approvals", "blobs/sha256", "docs", "log", "nar", "realisations"]) {
      mkdirSync(join(path, folder), { recursive: true });
    }
    for (const [name, bytes] of this.files) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), bytes);
    }
    return path;
  }

  /** In the order of the format; what no bundle has stands at the end. */
  tar(): Buffer {
    const legal = [...this.files.keys()].filter((name) => classify(name) !== null);
    const tail = this.#tailBlobs();
    const names = [
      ...tarOrder(legal, tail),
      ...[...this.files.keys()].filter((name) => classify(name) === null),
    ];
    return tarBytes(names.map((name) => [name, this.get(name)]));
  }

  #dropBlob({ storePath, blob }: Path): void {
    const isShared = this.document.paths.some((path) => path.blob === blob && path.storePath !== storePath);
    if (!isShared) this.files.delete(blobName(blob));
  }

  /** The manifest and the approvals, as blobs: what signing changes. */
  #tailBlobs(): Set<string> {
    const isTail = (bytes: Buffer) =>
      bytes.indexOf('{"artifactType"') === 0 || bytes.indexOf('{\n  "dsseEnvelope"') === 0;
    return new Set([...this.files].flatMap(([name, bytes]) => (isTail(bytes) ? [name] : [])));
  }

  #replaceDocument(bytes: Buffer, key: SecretKey, document: BundleDocument): void {
    for (const name of this.files.keys()) if (classify(name) === "approval") this.files.delete(name);
    this.files.set(DOCUMENT_NAME, bytes);
    const about = { document, role: "packer", signedAt: document.created, keyName: key.publicKey.name };
    const documentSha256 = formatHex(hashOf("sha256", bytes));
    const approval = makeApproval(machineStatement({ ...about, documentSha256 }), signingKey(key));
    this.files.set(`approvals/${approval.fileName}`, approval.bytes);
  }
}
