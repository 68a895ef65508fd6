/**
 * V8 to V10: has every NAR of the document read once, by worker threads, and judges what they learn. Which
 * derivations and demands there are comes from V6 and V7.
 */
import type { Contents } from "../../bundle/contents.js";
import { EmbeddedPaths, isScanned, knownHashParts } from "../../bundle/embedded.js";
import { checkDocs, checkPresence } from "../../bundle/inventory.js";
import { blobName } from "../../bundle/layout.js";
import type { Medium } from "../../bundle/medium.js";
import { type ContentDemand, checkContent, readDerivation } from "../../bundle/names.js";
import { PackedDerivations } from "../../bundle/packed.js";
import { checkLockFile, lockFileOf } from "../../bundle/pins.js";
import type { Finding } from "../../errors.js";
import type { BundleDocument, Path } from "../../generated/types.js";
import type { BlobJob, BlobResult } from "../../host/blob.js";
import type { ContentHashRequest } from "../../host/nar-reading.js";
import { runJobs } from "../../host/pool.js";
import type { Derivation } from "../../nix/derivation.js";
import { parseSri } from "../../nix/hash.js";
import { parseStorePath } from "../../nix/store-path.js";
import type { Context } from "../context.js";
import type { Step, VerifyLog } from "./log.js";

/** What is known of the bundle when its blobs are read. */
export interface OpenBundle {
  readonly medium: Medium;
  readonly document: BundleDocument;
  readonly contents: Contents;
}

/** A path whose NAR is read, and what is wanted of it. */
interface Wanted {
  readonly path: Path;
  readonly request: Pick<BlobJob, "scan" | "contentHash" | "capture" | "findPrebuilt">;
}

/** Paths with the same blob, of which the same is wanted: one job. */
interface Batch {
  readonly paths: readonly Path[];
  readonly job: BlobJob;
}

export class BlobReading {
  readonly #bundle: OpenBundle;
  readonly #context: Context;
  readonly #log: VerifyLog;
  /** By file name: blobs and docs that are absent or of another size, so that they are not read. */
  readonly #unreadable: ReadonlyMap<string, Finding>;
  /** Of contents that demands are about: the hash that was asked for, SRI, or why there is none. */
  readonly #hashes = new Map<string, string>();
  /** Fixed outputs that hold binaries, with the names of some. */
  readonly prebuilt = new Map<string, readonly string[]>();
  #nars = 0;
  #scanned = 0;

  constructor(bundle: OpenBundle, context: Context, log: VerifyLog) {
    this.#bundle = bundle;
    this.#context = context;
    this.#log = log;
    this.#unreadable = checkPresence(bundle.medium, bundle.contents);
    this.#reportUnreadable();
  }

  /** Number of blobs and docs whose presence and size was looked at. */
  get expected(): number {
    return [...this.#bundle.contents.files.values()].filter((file) => !Buffer.isBuffer(file)).length;
  }

  /** All derivations whose NARs hold, read and parsed: V8 and V9 for their blobs, and item 2 of V7. */
  async readDerivations(): Promise<PackedDerivations> {
    const contentHash: ContentHashRequest = { method: "flat", algorithm: "sha256" };
    const wanted = this.#bundle.document.paths
      .filter(isDerivation)
      .map((path) => ({ path, request: { contentHash, capture: [""] } }));
    const derivations = new Map<string, Derivation>();
    await this.#read("derivations", wanted, [], (path, contents) => {
      this.#keepHash(path, contentHash, contents.contentHash);
      const bytes = contents.captured.get("");
      if (bytes === undefined || bytes === null) {
        const expected = "one file of the size that a derivation may have";
        this.#log.find("V7", [{ code: "DERIVATION_INVALID", subject: path.storePath, expected }]);
        return;
      }
      const { derivation, findings } = readDerivation(path, bytes);
      this.#log.find("V7", findings);
      if (derivation !== undefined) derivations.set(path.storePath, derivation);
    });
    return new PackedDerivations(derivations);
  }

  /** Everything else: V8 to V10, and what of V7 takes contents. */
  async readRest(
    packed: PackedDerivations,
    demands: ReadonlyMap<string, readonly ContentDemand[]>,
  ): Promise<void> {
    const { document } = this.#bundle;
    const embedded = new EmbeddedPaths(document, packed);
    const wanted = document.paths
      .filter((path) => !isDerivation(path))
      .map((path) => ({ path, request: this.#requestFor(path, packed, demands.get(path.storePath)?.[0]) }));
    await this.#read("blobs", wanted, knownHashParts(document, packed), (path, contents, { request }) => {
      const { storePath } = path;
      if (request.contentHash !== undefined) {
        this.#keepHash(path, request.contentHash, contents.contentHash);
      }
      if (storePath === document.flake.storePath) {
        this.#log.find("V7", checkLockFile(document, contents.captured.get(lockFileOf(document))));
      }
      if (request.findPrebuilt && contents.prebuilt.count > 0) {
        this.prebuilt.set(
          storePath,
          contents.prebuilt.files.map((file) => file.path),
        );
      }
      if (request.scan) this.#judgeEmbedded(embedded, path, contents.references);
    });
    this.#judgeDemands(demands);
    const docs = await checkDocs(this.#bundle.medium, document, {
      contents: this.#bundle.contents,
      skip: this.#unreadable,
      signal: this.#context.signal,
    });
    this.#log.find("V8", docs.findings);
    this.#log.done("V8", this.#nars + docs.checked);
    this.#log.done("V9", this.#nars);
    this.#log.done("V10", this.#scanned, noteOnScan(document, this.#scanned));
  }

  /** One finding for each store path of a blob. */
  #reportUnreadable(): void {
    const paths = new Map<string, Path[]>();
    for (const path of this.#bundle.document.paths) {
      const name = blobName(path.blob);
      const others = paths.get(name);
      if (others === undefined) paths.set(name, [path]);
      else others.push(path);
    }
    for (const [name, finding] of this.#unreadable) {
      const { code, actual, expected = name } = finding;
      const found = actual === undefined ? {} : { actual };
      const concerned = paths.get(name) ?? [];
      this.#log.find(
        "V8",
        concerned.length === 0
          ? [finding]
          : concerned.map(({ storePath: subject }) => ({ code, subject, expected, ...found })),
      );
    }
  }

  #requestFor(path: Path, packed: PackedDerivations, demand: ContentDemand | undefined): Wanted["request"] {
    const { document } = this.#bundle;
    const isFlake = path.storePath === document.flake.storePath;
    return {
      scan: isScanned(path, packed),
      findPrebuilt: packed.outputs.get(path.storePath)?.output.kind === "fixed",
      ...(demand === undefined ? {} : { contentHash: contentHashOf(path, demand) }),
      ...(isFlake ? { capture: [lockFileOf(document)] } : {}),
    };
  }

  /** Has the blobs read, reports what is wrong with them, and hands on the contents of those that hold. */
  async #read(
    phase: string,
    wanted: readonly Wanted[],
    hashParts: readonly string[],
    judge: (path: Path, contents: NonNullable<BlobResult["contents"]>, wanted: Wanted) => void,
  ): Promise<void> {
    const { report, signal, workerEntry, threads } = this.#context;
    const batches = this.#batch(wanted);
    const requests = new Map(wanted.map((one) => [one.path.storePath, one]));
    const bytes = batches.reduce((sum, { job }) => sum + job.blobSize, 0);
    report({ type: "phase.started", phase, items: batches.length, bytes });
    let doneItems = 0;
    let doneBytes = 0;
    const results = await runJobs(
      batches.map(({ job }) => job),
      {
        workerEntry,
        signal,
        hashParts,
        ...(threads === undefined ? {} : { threads }),
        onResult: ({ blobSize, subject }) => {
          doneItems += 1;
          doneBytes += blobSize;
          report({ type: "phase.progress", phase, items: doneItems, bytes: doneBytes, detail: subject });
        },
      },
    );
    for (const [i, { findings, contents }] of results.entries()) {
      this.#nars++;
      for (const path of batches[i]!.paths) {
        for (const finding of findings) this.#log.find(stepOf(finding), [aboutPath(finding, path)]);
        if (findings.length === 0 && contents !== null) {
          this.#noteCollisions(path, contents);
          judge(path, contents, requests.get(path.storePath)!);
        }
      }
    }
    report({ type: "phase.finished", phase });
  }

  #batch(wanted: readonly Wanted[]): Batch[] {
    const batches = new Map<string, { paths: Path[]; job: BlobJob }>();
    for (const { path, request } of wanted) {
      const name = blobName(path.blob);
      const file = this.#bundle.medium.files.get(name);
      if (file === undefined || this.#unreadable.has(name)) continue;
      const key = `${path.blob} ${JSON.stringify(request)}`;
      const batch = batches.get(key);
      if (batch !== undefined) {
        batch.paths.push(path);
        continue;
      }
      const { storePath: subject, narHash, narSize, blob, blobSize } = path;
      const { path: filePath, offset, size } = file;
      const place = { path: filePath, offset, size };
      const job: BlobJob = {
        kind: "blob",
        file: place,
        blob,
        blobSize,
        subject,
        narHash,
        narSize,
        ...request,
      };
      batches.set(key, { paths: [path], job });
    }
    return [...batches.values()];
  }

  #keepHash(path: Path, { method }: ContentHashRequest, hash: string | null): void {
    const none =
      method === "flat" ? "no single file that is not executable" : "too many references to itself";
    this.#hashes.set(path.storePath, hash ?? none);
  }

  /** Contents that did not hold have findings already. */
  #judgeDemands(demands: ReadonlyMap<string, readonly ContentDemand[]>): void {
    for (const [storePath, list] of demands) {
      const hash = this.#hashes.get(storePath);
      if (hash === undefined) continue;
      const actual = hash.includes(" ") ? hash : parseSri(hash);
      for (const demand of list) {
        const finding = checkContent(storePath, demand, actual);
        if (finding !== undefined) this.#log.find("V7", [finding]);
      }
    }
  }

  /** No finding: trees for Linux hold such names honestly, and only another system's copy of them would lose files. */
  #noteCollisions(
    { storePath }: Path,
    { collisions: { count, pairs } }: NonNullable<BlobResult["contents"]>,
  ): void {
    if (count === 0) return;
    const names = pairs.map(([path, other]) => `${fromLatin1(other)} and ${fromLatin1(path)}`);
    const more = count > pairs.length ? `, and ${count - pairs.length} more` : "";
    this.#log.note(`names that differ only in case or Unicode form: ${names.join(", ")}${more}`, storePath);
  }

  #judgeEmbedded(embedded: EmbeddedPaths, path: Path, found: readonly string[]): void {
    this.#scanned++;
    const { findings, note } = embedded.check(path, found);
    this.#log.find("V10", findings);
    if (note === undefined) return;
    const names = note.names.length > 3 ? [...note.names.slice(0, 3), "…"] : note.names;
    this.#log.note(`holds store paths that it does not declare: ${names.join(", ")}`, note.storePath);
  }
}

function fromLatin1(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}

function isDerivation({ storePath }: Path): boolean {
  return storePath.endsWith(".drv");
}

function contentHashOf({ storePath }: Path, { method, hash }: ContentDemand): ContentHashRequest {
  const { algorithm } = hash;
  if (method === "flat") return { method, algorithm };
  const selfHashPart = method === "modulo" ? parseStorePath(storePath).hashPart : null;
  return { method: "nar", algorithm, selfHashPart };
}

const OF_NAR_GRAMMAR = /^NAR_(?!SIZE$|HASH$)/;

function stepOf({ code }: Finding): Step {
  return OF_NAR_GRAMMAR.test(code) ? "V9" : "V8";
}

/** A blob's finding, about one of the paths that share it; a place inside the NAR stays named. */
function aboutPath(finding: Finding, { storePath }: Path): Finding {
  const inside = finding.subject?.startsWith("/nix/store/")
    ? /^\/nix\/store\/[^/]+(.*)$/s.exec(finding.subject)
    : null;
  return { ...finding, subject: `${storePath}${inside?.[1] ?? ""}` };
}

function noteOnScan({ tier }: BundleDocument, scanned: number): string {
  if (tier !== "runtime") return "store paths inside archives and compressed files are not seen";
  return `${scanned} paths were searched, but without derivations nothing tells what they may hold`;
}
