/**
 * V8 to V10: has every NAR of the document read once, by worker threads, and judges what they learn. Which
 * derivations and demands there are comes from V6 and V7.
 */
import { EmbeddedPaths, isScanned, knownHashParts } from "../../bundle/embedded.js";
import { checkPresence } from "../../bundle/inventory.js";
import { blobName } from "../../bundle/layout.js";
import type { Medium } from "../../bundle/medium.js";
import { type ContentDemand, checkContent, readDerivation } from "../../bundle/names.js";
import { PackedDerivations } from "../../bundle/packed.js";
import { checkLockFile, lockFileOf } from "../../bundle/pins.js";
import type { Finding } from "../../errors.js";
import type { BundleDocument, Path } from "../../generated/types.js";
import type { BlobJob, BlobResult } from "../../host/blob.js";
import type { ContentHashRequest } from "../../host/nar-reading.js";
import type { WorkerPool } from "../../host/pool.js";
import type { Derivation } from "../../nix/derivation.js";
import { formatSri, parseSri } from "../../nix/hash.js";
import { parseStorePath } from "../../nix/store-path.js";
import { placeOf } from "../../segments.js";
import type { Context } from "../context.js";
import { Workload } from "../workload.js";
import type { Step, VerifyLog } from "./log.js";

/** What a blob costs beside the bytes that are read and unpacked, in such bytes. */
const COST_OF_BLOB = 192 * 1024;

/** What is known of the bundle when its blobs are read. */
export interface OpenBundle {
  readonly medium: Medium;
  readonly document: BundleDocument;
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
  readonly request: Wanted["request"];
}

/** What was read of batches, in their order. */
interface Read {
  readonly batches: readonly Batch[];
  readonly results: BlobResult[];
}

type Contents = NonNullable<BlobResult["contents"]>;
type Demands = ReadonlyMap<string, readonly ContentDemand[]>;

/**
 * Reading is begun as soon as it is known what to read, and goes on beside other steps; judged is what was read when the
 * caller asks for it, so that the order of findings depends on no thread.
 */
export class BlobReading {
  readonly #bundle: OpenBundle;
  readonly #pool: WorkerPool;
  readonly #context: Context;
  readonly #log: VerifyLog;
  /** By file name: blobs that are absent or of another size, so that they are not read. */
  readonly #unreadable: ReadonlyMap<string, Finding>;
  /** Of contents that demands are about: the hash that was asked for, SRI, or why there is none. */
  readonly #hashes = new Map<string, string>();
  /** Fixed outputs that hold binaries, with the names of some. */
  readonly prebuilt = new Map<string, readonly string[]>();
  #nars = 0;
  #scanned = 0;

  constructor(bundle: OpenBundle, pool: WorkerPool, context: Context, log: VerifyLog) {
    this.#bundle = bundle;
    this.#pool = pool;
    this.#context = context;
    this.#log = log;
    const sizes = new Map(bundle.document.paths.map(({ blob, blobSize }) => [blobName(blob), blobSize]));
    this.#unreadable = checkPresence(bundle.medium, sizes);
    this.#reportUnreadable();
  }

  /** Begins to read all .drv files. Gives, once it is called, the derivations whose NARs hold: V8 and V9, and item 2 of V7. */
  readDerivations(): () => Promise<PackedDerivations> {
    const contentHash: ContentHashRequest = { method: "flat", algorithm: "sha256" };
    const wanted = this.#bundle.document.paths
      .filter(isDerivation)
      .map((path) => ({ path, request: { contentHash, capture: [""] } }));
    const reading = this.#read("derivations", wanted, []);
    return async () => {
      const derivations = new Map<string, Derivation>();
      this.#judge(await reading, (path, contents) => {
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
    };
  }

  /** Begins to read everything else; the rest of V8 to V10, and of V7 what takes contents, once it is called. */
  readRest(packed: PackedDerivations, demands: Demands): () => Promise<void> {
    const { document } = this.#bundle;
    const wanted = document.paths
      .filter((path) => !isDerivation(path))
      .map((path) => ({ path, request: this.#requestFor(path, packed, demands.get(path.storePath)?.[0]) }));
    const reading = this.#read("blobs", wanted, knownHashParts(document, packed));
    return async () => {
      const embedded = new EmbeddedPaths(document, packed);
      this.#judge(await reading, (path, contents, request) => {
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
      this.#log.done("V8", this.#nars);
      this.#log.done("V9", this.#nars);
      this.#log.done("V10", this.#scanned, noteOnScan(document, this.#scanned));
    };
  }

  /** One finding for each store path of a blob. */
  #reportUnreadable(): void {
    const paths = new Map<string, Path[]>();
    for (const path of this.#bundle.document.paths) {
      const name = blobName(path.blob);
      if (!this.#unreadable.has(name)) continue;
      const others = paths.get(name);
      if (others === undefined) paths.set(name, [path]);
      else others.push(path);
    }
    for (const [name, { code, actual, expected = name }] of this.#unreadable) {
      const found = actual === undefined ? {} : { actual };
      this.#log.find(
        "V8",
        (paths.get(name) ?? []).map(({ storePath: subject }) => ({ code, subject, expected, ...found })),
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

  /** Has the blobs read. Who asks for the answer hears of errors; nobody else does. */
  #read(phase: string, wanted: readonly Wanted[], hashParts: readonly string[]): Promise<Read> {
    const reading = this.#readAll(phase, wanted, hashParts);
    // Where another step fails first, this one is asked by nobody.
    reading.catch(() => {});
    return reading;
  }

  async #readAll(phase: string, wanted: readonly Wanted[], hashParts: readonly string[]): Promise<Read> {
    const { report } = this.#context;
    const batches = this.#batch(wanted);
    const foreseen = batches.map(({ job }) => ({
      key: job,
      bytes: job.narSize,
      cost: job.narSize + job.blobSize + COST_OF_BLOB,
    }));
    const work = new Workload(foreseen, this.#pool.threads);
    report({ type: "phase.started", phase, ...work.totals });
    const say = ({ subject: detail }: BlobJob) =>
      report({ type: "phase.progress", phase, ...work.done, detail });
    const results = await this.#pool.run(
      batches.map(({ job }) => job),
      {
        hashParts,
        onProgress: (job, narBytes) => {
          work.advance(job, narBytes);
          say(job);
        },
        onResult: (job) => {
          work.end(job);
          say(job);
        },
      },
    );
    report({ type: "phase.finished", phase });
    return { batches, results };
  }

  /** Reports what is wrong with the blobs, and hands on the contents of those that hold. The results are let go then. */
  #judge(
    { batches, results }: Read,
    accept: (path: Path, contents: Contents, request: Wanted["request"]) => void,
  ): void {
    for (const [i, { findings, contents }] of results.entries()) {
      this.#nars++;
      const { paths, request } = batches[i]!;
      for (const path of paths) {
        for (const finding of findings) this.#log.find(stepOf(finding), [aboutPath(finding, path)]);
        if (findings.length === 0 && contents !== null) {
          this.#noteCollisions(path, contents);
          accept(path, contents, request);
        }
      }
    }
    // The bytes of all derivations are among them.
    results.length = 0;
  }

  #batch(wanted: readonly Wanted[]): Batch[] {
    const batches = new Map<string, { paths: Path[]; job: BlobJob; request: Wanted["request"] }>();
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
      const job: BlobJob = {
        kind: "blob",
        file: placeOf(file),
        blob,
        blobSize,
        subject,
        narHash,
        narSize,
        ...request,
      };
      batches.set(key, { paths: [path], job, request });
    }
    return [...batches.values()];
  }

  #keepHash(path: Path, { method }: ContentHashRequest, hash: string | null): void {
    const none =
      method === "flat" ? "no single file that is not executable" : "too many references to itself";
    this.#hashes.set(path.storePath, hash ?? none);
  }

  /** Contents that did not hold have findings already. */
  #judgeDemands(demands: Demands): void {
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
  #noteCollisions({ storePath }: Path, { collisions: { count, pairs } }: Contents): void {
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
  return { method: "nar", algorithm, selfHashPart, wanted: formatSri(hash) };
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
