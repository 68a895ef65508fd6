/**
 * Everything there is to learn from one pass over a NAR's bytes: size, hash, grammar, store paths that occur in
 * it, the hash of its content, the content of a few files, and which files are prebuilt binaries. Where the bytes
 * come from is blob.ts's; what the answers mean is verify's.
 */
import { createHash, type Hash as Hasher } from "node:crypto";
import { AirgapError, type Finding } from "../errors.js";
import { formatSri, type Hash, type HashAlgorithm, hashFromDigest } from "../nix/hash.js";
import { HashModulo, type ModuloHashes } from "../nix/hash-modulo.js";
import { NarParser, type NarRegular, type NarVisitor } from "../nix/nar.js";
import type { ReferenceScanner } from "../nix/references.js";
import { PREBUILT_HEAD_SIZE, prebuiltFormat } from "./prebuilt.js";

/** Bytes of one captured file. */
export const MAX_CAPTURE = 16 * 1024 * 1024;
const MAX_PREBUILT_NAMES = 8;
const MAX_COLLISIONS = 3;

/** Another hash of the content than the NAR's SHA-256. */
export type ContentHashRequest =
  /** Of the content of the one file that the NAR is: `fixed:…` and `text:…`. */
  | { readonly method: "flat"; readonly algorithm: HashAlgorithm }
  /** Of the NAR; modulo self-references with the path's own hash part. `wanted`, SRI, chooses between the two rules for that. */
  | {
      readonly method: "nar";
      readonly algorithm: HashAlgorithm;
      readonly selfHashPart: string | null;
      readonly wanted?: string;
    };

export interface NarRequest {
  /** Names the NAR in findings: its store path. */
  readonly subject: string;
  /** SRI, sha256. */
  readonly narHash: string;
  readonly narSize: number;
  /** Look for the store paths whose hash parts were given. */
  readonly scan?: boolean;
  readonly contentHash?: ContentHashRequest;
  /** Files whose content is wanted: paths inside the NAR, "" for one that is a file itself. */
  readonly capture?: readonly string[];
  readonly findPrebuilt?: boolean;
}

/** What a whole NAR that keeps the grammar holds. Fields that were not asked for are empty or null. */
export interface NarContents {
  /** Hash parts of the store paths that occur in it, sorted. */
  readonly references: readonly string[];
  /** SRI. Null for `flat` of anything but one file that is not executable. */
  readonly contentHash: string | null;
  /** By path. Null for a file over `MAX_CAPTURE`; what is no regular file is absent. */
  readonly captured: ReadonlyMap<string, Uint8Array | null>;
  readonly prebuilt: Prebuilt;
  readonly collisions: Collisions;
}

/** Entries of one directory that are one file on a medium blind to case or Unicode form. */
export interface Collisions {
  readonly count: number;
  /** The first 3, in the NAR's order, as paths inside the NAR (latin1, as the parser gives them). */
  readonly pairs: readonly (readonly [path: string, other: string])[];
}

/** Executables, libraries and bytecode of known formats. */
export interface Prebuilt {
  readonly count: number;
  /** The first 8, in the NAR's order. */
  readonly files: readonly { readonly path: string; readonly format: string }[];
}

export interface NarOutcome {
  readonly findings: readonly Finding[];
  /** SRI of the whole NAR; null where not all of it was read. */
  readonly narHash: string | null;
  readonly contents: NarContents | null;
}

/** Takes a NAR's bytes, here or on another thread. */
export interface NarSink {
  readonly subject: string;
  /** Bytes taken so far. */
  readonly size: number;
  /** False once the NAR is larger than it should be: nothing more is wanted. `bytes` are not kept. */
  update(bytes: Uint8Array): boolean;
  /** `whole`: the caller has given all there is. Ends the reading. */
  finish(whole: boolean): NarOutcome;
}

export class NarReading implements NarSink {
  readonly #request: NarRequest;
  readonly #scanner: ReferenceScanner | null;
  readonly #hasher = createHash("sha256");
  readonly #contents: ContentsVisitor;
  readonly #parser: NarParser;
  readonly #narHasher: Hasher | null = null;
  readonly #modulo: HashModulo | null = null;
  #size = 0;
  #failure: AirgapError | null = null;

  /** `scanner` is needed only for requests with `scan`; it is reset here. */
  constructor(request: NarRequest, scanner: ReferenceScanner | null) {
    this.#request = request;
    this.#scanner = request.scan === true ? scanner : null;
    this.#scanner?.reset();
    this.#contents = new ContentsVisitor(request);
    this.#parser = new NarParser(this.#contents.visitor, request.subject);
    const { contentHash } = request;
    if (contentHash?.method === "nar") {
      const { algorithm, selfHashPart } = contentHash;
      if (selfHashPart !== null) this.#modulo = new HashModulo(algorithm, selfHashPart);
      else this.#narHasher = createHash(algorithm);
    }
  }

  get size(): number {
    return this.#size;
  }

  get subject(): string {
    return this.#request.subject;
  }

  update(bytes: Uint8Array): boolean {
    const room = this.#request.narSize + 1 - this.#size;
    const taken = bytes.length > room ? bytes.subarray(0, room) : bytes;
    this.#size += taken.length;
    this.#hasher.update(taken);
    this.#scanner?.update(taken);
    this.#narHasher?.update(taken);
    this.#modulo?.update(taken);
    if (this.#failure === null) this.#guard(() => this.#parser.update(taken));
    return this.#size <= this.#request.narSize;
  }

  finish(whole: boolean): NarOutcome {
    const { subject, narSize, narHash: expected } = this.#request;
    const findings: Finding[] = [];
    const tooLarge = this.#size > narSize;
    const complete = whole && !tooLarge;
    if (complete && this.#failure === null) this.#guard(() => this.#parser.end());
    if (this.#failure !== null) findings.push(findingOf(this.#failure));
    if (tooLarge || (whole && this.#size !== narSize)) {
      const actual = tooLarge ? "more" : `${this.#size} bytes`;
      findings.push({ code: "NAR_SIZE", subject, expected: `${narSize} bytes`, actual });
    }
    const narHash = complete ? formatSri(hashFromDigest("sha256", this.#hasher.digest())) : null;
    if (narHash !== null && narHash !== expected)
      findings.push({ code: "NAR_HASH", subject, expected, actual: narHash });
    const contents = complete && this.#failure === null ? this.#finishContents(narHash) : null;
    return { findings, narHash, contents };
  }

  #finishContents(narHash: string | null): NarContents {
    return {
      references: this.#scanner?.found() ?? [],
      contentHash: this.#finishContentHash(narHash),
      captured: this.#contents.captured,
      prebuilt: { count: this.#contents.prebuiltCount, files: this.#contents.prebuiltFiles },
      collisions: { count: this.#contents.collisionCount, pairs: this.#contents.collisionPairs },
    };
  }

  #finishContentHash(narHash: string | null): string | null {
    const { contentHash: request } = this.#request;
    if (request === undefined) return null;
    if (request.method === "flat") return sriOrNull(this.#contents.flatHash());
    if (this.#modulo !== null && request.method === "nar") return eitherOf(this.#modulo.digests(), request);
    if (this.#narHasher === null) return narHash;
    return formatSri(hashFromDigest(request.algorithm, this.#narHasher.digest()));
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      this.#failure = error;
    }
  }
}

/** A refused input as data. */
export function findingOf(error: AirgapError): Finding {
  return { code: error.code, ...error.details };
}

/** The one that is wanted, where it is one of them. */
function eitherOf(hashes: ModuloHashes | null, { wanted }: { readonly wanted?: string }): string | null {
  if (hashes === null) return null;
  const withoutPositions = formatSri(hashes.withoutPositions);
  return withoutPositions === wanted ? withoutPositions : formatSri(hashes.withPositions);
}

function sriOrNull(hash: Hash | null): string | null {
  return hash === null ? null : formatSri(hash);
}

/** Collects from regular files what the request asks for. */
class ContentsVisitor {
  readonly captured = new Map<string, Uint8Array | null>();
  readonly prebuiltFiles: { path: string; format: string }[] = [];
  prebuiltCount = 0;
  readonly collisionPairs: [string, string][] = [];
  collisionCount = 0;
  /** Has callbacks only for what was asked: contents that nobody wants are skipped by length. */
  readonly visitor: NarVisitor;
  readonly #flatAlgorithm: HashAlgorithm | null;
  #flatHasher: Hasher | null = null;
  /** The paths to capture, as the parser gives paths (latin1). */
  readonly #wanted: ReadonlyMap<string, string>;
  readonly #findPrebuilt: boolean;
  #file: NarRegular | null = null;
  #capture: Uint8Array | null = null;
  #captureFill = 0;
  readonly #head = Buffer.alloc(PREBUILT_HEAD_SIZE);
  #headFill = 0;

  constructor({ contentHash, capture = [], findPrebuilt = false }: NarRequest) {
    this.#flatAlgorithm = contentHash?.method === "flat" ? contentHash.algorithm : null;
    this.#wanted = new Map(capture.map((path) => [Buffer.from(path).toString("latin1"), path]));
    this.#findPrebuilt = findPrebuilt;
    const isIdle = this.#flatAlgorithm === null && capture.length === 0 && !findPrebuilt;
    const collision = (path: string, other: string) => this.#collide(path, other);
    this.visitor = isIdle
      ? { collision }
      : {
          collision,
          regular: (file) => this.#begin(file),
          contents: (chunk, start, end) => this.#add(chunk.subarray(start, end)),
          regularEnd: () => this.#end(),
        };
  }

  /** Nix takes a file's own hash only of one that is not executable. */
  flatHash(): Hash | null {
    if (this.#flatAlgorithm === null || this.#flatHasher === null) return null;
    return hashFromDigest(this.#flatAlgorithm, this.#flatHasher.digest());
  }

  #collide(path: string, other: string): void {
    this.collisionCount++;
    if (this.collisionPairs.length < MAX_COLLISIONS) this.collisionPairs.push([path, other]);
  }

  #begin(file: NarRegular): void {
    this.#file = file;
    this.#headFill = 0;
    if (this.#flatAlgorithm !== null && file.path === "" && !file.executable)
      this.#flatHasher = createHash(this.#flatAlgorithm);
    const wanted = this.#wanted.get(file.path);
    if (wanted === undefined) return;
    // Never a slice of a shared pool: this goes to another thread.
    this.#capture = file.size <= MAX_CAPTURE ? new Uint8Array(file.size) : null;
    this.#captureFill = 0;
    this.captured.set(wanted, this.#capture);
  }

  #add(bytes: Uint8Array): void {
    this.#flatHasher?.update(bytes);
    if (this.#capture !== null) {
      this.#capture.set(bytes, this.#captureFill);
      this.#captureFill += bytes.length;
    }
    if (this.#findPrebuilt && this.#headFill < PREBUILT_HEAD_SIZE) {
      const room = PREBUILT_HEAD_SIZE - this.#headFill;
      this.#head.set(bytes.length > room ? bytes.subarray(0, room) : bytes, this.#headFill);
      this.#headFill += Math.min(room, bytes.length);
    }
  }

  #end(): void {
    this.#capture = null;
    if (!this.#findPrebuilt || this.#file === null) return;
    const format = prebuiltFormat(this.#head.subarray(0, this.#headFill));
    if (format === null) return;
    this.prebuiltCount++;
    if (this.prebuiltFiles.length < MAX_PREBUILT_NAMES) {
      const path = Buffer.from(this.#file.path, "latin1").toString("utf8");
      this.prebuiltFiles.push({ path, format });
    }
  }
}
