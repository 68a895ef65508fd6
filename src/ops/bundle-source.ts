/**
 * Where a bundle comes from: a path, or the URL of a `serve`, from which it is fetched into a folder of this run's own and then is
 * a directory like any other. Nothing is trusted because of where it came from, and nothing large is fetched for strangers:
 * document and approvals come first, the rest when somebody has accepted them.
 */
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { contentsOf, type ExpectedFile } from "../bundle/contents.js";
import { blobName, classify, DOCUMENT_NAME, docName, FOLDERS, INDEX_NAME } from "../bundle/layout.js";
import { FILES_NAME, MAX_FILES_SIZE, parseServedFiles } from "../bundle/served-files.js";
import { fail } from "../errors.js";
import type { BundleDocument } from "../generated/types.js";
import { removeTree, requireSpace, withDiskErrors } from "../host/files.js";
import { HttpClient, LANES } from "../host/http-client.js";
import { makeRunDir } from "../host/run-dir.js";
import { isServerUrl, parseServerUrl } from "../host/server-url.js";
import type { Context } from "./context.js";
import { PhaseClock, type Progress } from "./phase-clock.js";

export type BundleSource = LocalSource | RemoteSource;

export interface LocalSource {
  readonly url: null;
  readonly path: string;
}

export interface RemoteSource {
  readonly url: string;
  /** The folder into which it comes. */
  readonly path: string;
  /** As the server says: of all files. */
  readonly totals: { readonly files: number; readonly bytes: number };
  /**
   * Fetches the rest. `isShallow`: of what the document names by hash only the sizes, which are as the server says.
   *
   * @throws AirgapError SERVER_UNREACHABLE, SERVER_ANSWER, BLOB_HASH, DISK, NO_SPACE, INTERRUPTED
   */
  complete(accepted: AcceptedDocument, isShallow: boolean): Promise<void>;
}

export interface AcceptedDocument {
  readonly document: BundleDocument;
  readonly documentBytes: Buffer;
  readonly approvalFiles: ReadonlyMap<string, Buffer>;
}

/** Removes what was fetched when `use` has ended. @throws as `complete` does; USAGE for a URL that names no server */
export async function withBundle<T>(
  bundle: string,
  context: Context,
  use: (source: BundleSource) => Promise<T>,
): Promise<T> {
  if (!isServerUrl(bundle)) return use({ url: null, path: bundle });
  const url = parseServerUrl(bundle);
  const dir = await makeRunDir("fetch", context.tmpDir);
  try {
    const client = await HttpClient.open(url, context.signal);
    try {
      return await use(await Remote.open(url, dir, client, context));
    } finally {
      client.close();
    }
  } finally {
    await removeTree(dir);
  }
}

class Remote implements RemoteSource {
  readonly path: string;
  readonly #url: URL;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #client: HttpClient;
  readonly #clock: PhaseClock;

  private constructor(
    url: URL,
    path: string,
    sizes: ReadonlyMap<string, number>,
    client: HttpClient,
    context: Context,
  ) {
    this.#url = url;
    this.path = path;
    this.#sizes = sizes;
    this.#client = client;
    this.#clock = new PhaseClock(context);
  }

  /** With document and approvals. */
  static async open(url: URL, dir: string, client: HttpClient, context: Context): Promise<Remote> {
    const listUrl = new URL(FILES_NAME, url);
    const { sizes, sha256 } = parseServedFiles(await client.get(listUrl, MAX_FILES_SIZE), listUrl.href);
    const remote = new Remote(url, dir, sizes, client, context);
    await withDiskErrors(dir, async () => {
      for (const folder of [...FOLDERS].sort()) await mkdir(join(dir, folder));
    });
    await remote.#fetch(
      "fetch document and approvals",
      [...sizes.keys()]
        .filter(isHead)
        .map((name) => ({ name, sha256: name === DOCUMENT_NAME ? sha256 : null })),
    );
    return remote;
  }

  get url(): string {
    return this.#url.href;
  }

  get totals(): RemoteSource["totals"] {
    const bytes = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    return { files: this.#sizes.size, bytes };
  }

  async complete(accepted: AcceptedDocument, isShallow: boolean): Promise<void> {
    const { document, documentBytes, approvalFiles } = accepted;
    const { files } = contentsOf(document, documentBytes, approvalFiles);
    this.#requireListed(files);
    const hashes = new Map(document.docs.map(({ name, sha256 }) => [docName(name), sha256]));
    const rest = [...files].filter(([name]) => !isHead(name));
    const [named, made] = [rest.filter(isNamedByHash), rest.filter((file) => !isNamedByHash(file))];
    if (isShallow) for (const [name, { size }] of named) await this.#makeEmpty(name, size);
    await this.#fetch(
      "fetch",
      (isShallow ? made : rest).map(([name]) => ({ name, sha256: hashes.get(name) ?? hashInName(name) })),
    );
  }

  /** What is served must be what the document gives, name by name: else no byte of it is asked for. */
  #requireListed(expected: ReadonlyMap<string, ExpectedFile>): void {
    const refuse = (name: string, wanted: string, actual: string): never =>
      fail("SERVER_ANSWER", {
        subject: `${this.#url.href}${FILES_NAME}`,
        expected: `${name}: ${wanted}, as bundle.json gives it`,
        actual,
      });
    for (const [name, file] of expected) {
      const size = Buffer.isBuffer(file) ? file.length : file.size;
      const actual = this.#sizes.get(name);
      if (actual === undefined) refuse(name, `${size} bytes`, "no such file");
      // OCI tools rewrite it: V5 reads what it says.
      else if (actual !== size && name !== INDEX_NAME) refuse(name, `${size} bytes`, `${actual} bytes`);
    }
    for (const name of this.#sizes.keys()) {
      if (!expected.has(name)) refuse(name, "no such file", "a file of that name");
    }
  }

  async #fetch(phase: string, files: readonly FetchedFile[]): Promise<void> {
    const bytes = files.reduce((sum, { name }) => sum + this.#sizeOf(name), 0);
    const elsewhere = "set TMPDIR to a folder on another disk";
    await requireSpace({ path: this.path, bytes, files: files.length, elsewhere });
    await this.#clock.phase(phase, { items: files.length, bytes }, (progress) =>
      this.#fetchAll(files, new Fetched(files.length, bytes, progress)),
    );
  }

  async #fetchAll(files: readonly FetchedFile[], fetched: Fetched): Promise<void> {
    const waiting = [...files].reverse();
    const lane = async (): Promise<void> => {
      for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
        const { name, sha256 } = file;
        await this.#client.download(new URL(`bundle/${name}`, this.#url), join(this.path, name), {
          size: this.#sizeOf(name),
          sha256,
          onBytes: (count) => fetched.came(count, name),
        });
        fetched.ended(name);
      }
    };
    const failures: unknown[] = [];
    const lanes = Array.from({ length: LANES }, () =>
      lane().catch((error) => {
        failures.push(error);
        // Ends the others, so that nothing writes any more when this returns.
        this.#client.close();
      }),
    );
    await Promise.all(lanes);
    if (failures.length > 0) throw failures[0];
  }

  async #makeEmpty(name: string, size: number): Promise<void> {
    const path = join(this.path, name);
    await withDiskErrors(path, async () => {
      const file = await open(path, "wx");
      try {
        await file.truncate(size);
      } finally {
        await file.close();
      }
    });
  }

  #sizeOf(name: string): number {
    return this.#sizes.get(name) ?? fail("SERVER_ANSWER", { subject: name });
  }
}

interface FetchedFile {
  readonly name: string;
  /** Hex; null where nothing says it yet. */
  readonly sha256: string | null;
}

/** What asking for a file costs beside its bytes, in such bytes: a bundle has two narinfos for a megabyte, or thousands. */
const COST_OF_FILE = 32 * 1024;

/** How much has come. */
class Fetched {
  readonly #total: number;
  readonly #progress: Progress;
  #items = 0;
  #bytes = 0;

  constructor(files: number, bytes: number, progress: Progress) {
    this.#total = costOf(files, bytes);
    this.#progress = progress;
  }

  came(bytes: number, detail: string): void {
    this.#bytes += bytes;
    this.#say(detail);
  }

  ended(detail: string): void {
    this.#items += 1;
    this.#say(detail);
  }

  #say(detail: string): void {
    const share = costOf(this.#items, this.#bytes) / this.#total;
    this.#progress({ items: this.#items, bytes: this.#bytes, detail, share });
  }
}

function costOf(files: number, bytes: number): number {
  return files * COST_OF_FILE + bytes;
}

/** What is authenticated first. */
function isHead(name: string): boolean {
  return name === DOCUMENT_NAME || classify(name) === "approval";
}

function isNamedByHash(file: readonly [string, ExpectedFile]): file is [string, { readonly size: number }] {
  return !Buffer.isBuffer(file[1]);
}

function hashInName(name: string): string | null {
  const sha256 = /[0-9a-f]{64}$/.exec(name)?.[0];
  return sha256 !== undefined && name === blobName(sha256) ? sha256 : null;
}
