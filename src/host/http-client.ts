/**
 * Gets files over HTTP from a server that nobody trusts: every size is known before a byte is read, nothing is followed anywhere
 * else, and what is lost on the way is asked for again. What the files are, and whether they are true, is for others.
 */
import { createHash, type Hash } from "node:crypto";
import { setMaxListeners } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Agent, IncomingHttpHeaders, IncomingMessage, request as requestOf } from "node:http";
import { setTimeout } from "node:timers/promises";
import { AirgapError, fail } from "../errors.js";
import { errorCode, withDiskErrors } from "./files.js";

export interface ClientLimits {
  /** Milliseconds in which something must come. */
  readonly silence: number;
  /** In each so many milliseconds at least `paceBytes` must come: a server that drips does not hold a site for ever. */
  readonly paceTime: number;
  readonly paceBytes: number;
  /** A lost connection is made again, so many times for each file, or for each `steadyBytes` that came. */
  readonly tries: number;
  readonly steadyBytes: number;
  /** Milliseconds before the second try; each further one waits twice as long. */
  readonly pause: number;
}

const LIMITS: ClientLimits = {
  silence: 30_000,
  paceTime: 60_000,
  paceBytes: 64 * 1024,
  tries: 5,
  steadyBytes: 64 * 1024 * 1024,
  pause: 1000,
};

/** Requests at a time. */
export const LANES = 8;
const MAX_HEAD = 16 * 1024;

/** A file as it must be. */
export interface WantedFile {
  readonly size: number;
  /** Hex; null where the name does not say it. */
  readonly sha256: string | null;
  /** Told of bytes as they come; of a negative number where they have to come again. */
  readonly onBytes: (bytes: number) => void;
}

/** Keeps its connections until it is closed, or its signal stops it. */
export class HttpClient {
  readonly #stop = new AbortController();
  readonly #limits: ClientLimits;
  readonly #request: typeof requestOf;
  readonly #agent: Agent;

  private constructor(request: typeof requestOf, agent: Agent, signal: AbortSignal, limits: ClientLimits) {
    this.#request = request;
    this.#agent = agent;
    this.#limits = limits;
    // Each request listens.
    setMaxListeners(0, this.#stop.signal);
    if (signal.aborted) this.#stop.abort();
    signal.addEventListener("abort", () => this.#stop.abort(), { signal: this.#stop.signal });
  }

  /** For servers of one kind. An agent of our own: no variable of the environment puts a proxy in between. */
  static async open(
    { protocol }: URL,
    signal: AbortSignal,
    limits: Partial<ClientLimits> = {},
  ): Promise<HttpClient> {
    const settings = { keepAlive: true, maxSockets: LANES };
    const all = { ...LIMITS, ...limits };
    if (protocol === "https:") {
      const { Agent, request } = await import("node:https");
      return new HttpClient(request, new Agent({ ...settings, ...systemRoots() }), signal, all);
    }
    const { Agent, request } = await import("node:http");
    return new HttpClient(request, new Agent(settings), signal, all);
  }

  /** Ends all that runs, with INTERRUPTED. */
  close(): void {
    this.#stop.abort();
    this.#agent.destroy();
  }

  /** A whole small file of at most `cap` bytes. @throws AirgapError SERVER_UNREACHABLE, SERVER_ANSWER, INTERRUPTED */
  async get(url: URL, cap: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const expected = `200 with at most ${cap} bytes`;
    try {
      await this.#exchange(
        url,
        {},
        {
          judge: ({ statusCode, headers }) => {
            const length = lengthOf(headers);
            if (statusCode !== 200 || length === null || length > cap) return expected;
            return null;
          },
          take: async (chunk) => void chunks.push(chunk),
        },
      );
    } catch (error) {
      throw error instanceof Lost ? unreachable(url, error, expected) : error;
    }
    return Buffer.concat(chunks);
  }

  /**
   * Writes a file that must not be there yet.
   *
   * @throws AirgapError SERVER_UNREACHABLE, SERVER_ANSWER; BLOB_HASH where the bytes stay wrong; DISK, NO_SPACE, INTERRUPTED
   */
  async download(url: URL, path: string, wanted: WantedFile): Promise<void> {
    const file = await withDiskErrors(path, () => open(path, "wx", 0o600));
    try {
      await this.#download(url, new Download(file, path, wanted));
    } finally {
      await file.close();
    }
  }

  /** Bytes that are wrong as a whole are asked for once more: parts of them may be of two files. */
  async #download(url: URL, partial: Download): Promise<void> {
    await this.#complete(url, partial);
    if (partial.wrongHash() === null) return;
    await partial.restart();
    await this.#complete(url, partial);
    const actual = partial.wrongHash();
    if (actual === null) return;
    fail("BLOB_HASH", {
      subject: url.href,
      expected: partial.wanted.sha256 ?? "",
      actual,
      hint: "Verify the bundle on the machine that serves it: its medium may be damaged, or what stands between changes bytes.",
    });
  }

  async #complete(url: URL, partial: Download): Promise<void> {
    const { tries, steadyBytes, pause } = this.#limits;
    const { size } = partial.wanted;
    for (let failed = 1, since = partial.size; ; failed++) {
      try {
        await this.#continue(url, partial);
        return;
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
        if (partial.size - since >= steadyBytes) failed = 1;
        if (failed >= tries) {
          throw unreachable(url, error, `${size} bytes, of which ${partial.size} came`);
        }
      }
      since = partial.size;
      await setTimeout(pause * 2 ** (failed - 1), undefined, { signal: this.#stop.signal }).catch(() =>
        fail("INTERRUPTED", { subject: url.href }),
      );
    }
  }

  /** Asks for what is missing. */
  async #continue(url: URL, partial: Download): Promise<void> {
    const { size } = partial.wanted;
    const from = partial.size;
    if (from === size && size > 0) return;
    const headers = from === 0 ? {} : { Range: `bytes=${from}-`, ...partial.condition };
    await this.#exchange(url, headers, {
      judge: ({ statusCode, headers }) => {
        const whole = statusCode === 200 && lengthOf(headers) === size;
        const rest =
          from > 0 &&
          statusCode === 206 &&
          headers["content-range"] === `bytes ${from}-${size - 1}/${size}` &&
          lengthOf(headers) === size - from;
        return whole || rest ? null : `${from > 0 ? "206 or " : ""}200 with all ${size} bytes`;
      },
      begin: async ({ statusCode, headers }) => {
        if (statusCode === 200 && from > 0) await partial.restart();
        partial.tag = headers.etag;
      },
      take: (chunk) => partial.append(chunk),
    });
    if (partial.size !== size) throw new Lost("the answer ended too early");
  }

  /** One request. @throws Lost where it is of use to ask again */
  async #exchange(url: URL, headers: Readonly<Record<string, string>>, exchange: Exchange): Promise<void> {
    const response = await this.#send(url, headers);
    try {
      const expected = exchange.judge(response);
      if (expected !== null) throw unexpected(url, response, expected);
      await exchange.begin?.(response);
      let windowStart = performance.now();
      let windowBytes = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        await exchange.take(chunk);
        windowBytes += chunk.length;
        const elapsed = performance.now() - windowStart;
        if (elapsed < this.#limits.paceTime) continue;
        if (windowBytes < this.#limits.paceBytes) {
          throw new Lost(`${windowBytes} bytes in ${Math.round(elapsed / 1000)} s`);
        }
        windowStart = performance.now();
        windowBytes = 0;
      }
    } catch (error) {
      response.destroy();
      throw this.#typed(error, url);
    }
  }

  #send(url: URL, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    return new Promise<IncomingMessage>((resolve, reject) => {
      const request = this.#request(url, {
        agent: this.#agent,
        headers: { "Accept-Encoding": "identity", ...headers },
        maxHeaderSize: MAX_HEAD,
        signal: this.#stop.signal,
        timeout: this.#limits.silence,
      });
      let answer: IncomingMessage | null = null;
      request.once("response", (response) => {
        answer = response;
        resolve(response);
      });
      request.on("timeout", () => {
        const lost = new Lost(`nothing came for ${this.#limits.silence / 1000} s`);
        (answer ?? request).destroy(lost);
      });
      request.on("error", (error) => reject(this.#typed(error, url)));
      request.end();
    });
  }

  #typed(error: unknown, url: URL): unknown {
    if (this.#stop.signal.aborted)
      return new AirgapError("INTERRUPTED", { subject: url.href }, { cause: error });
    if (error instanceof AirgapError || error instanceof Lost) return error;
    const code = errorCode(error);
    return code === "" ? error : new Lost(REASONS.get(code) ?? code, error);
  }
}

interface Exchange {
  /** What was expected, where the answer is another. */
  judge(response: IncomingMessage): string | null;
  begin?(response: IncomingMessage): Promise<void>;
  take(chunk: Buffer): Promise<void>;
}

/** What has come of a file. */
class Download {
  readonly wanted: WantedFile;
  readonly #file: FileHandle;
  readonly #path: string;
  #hasher: Hash = createHash("sha256");
  size = 0;
  /** The server's, so that a part of another file is not put behind it. */
  tag: string | undefined;

  constructor(file: FileHandle, path: string, wanted: WantedFile) {
    this.#file = file;
    this.#path = path;
    this.wanted = wanted;
  }

  get condition(): Readonly<Record<string, string>> {
    return this.tag === undefined || this.tag.startsWith("W/") ? {} : { "If-Range": this.tag };
  }

  async append(chunk: Buffer): Promise<void> {
    await withDiskErrors(this.#path, async () => {
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await this.#file.write(chunk, done, chunk.length - done, this.size + done);
        done += bytesWritten;
      }
    });
    this.#hasher.update(chunk);
    this.size += chunk.length;
    this.wanted.onBytes(chunk.length);
  }

  async restart(): Promise<void> {
    await withDiskErrors(this.#path, () => this.#file.truncate(0));
    this.wanted.onBytes(-this.size);
    this.#hasher = createHash("sha256");
    this.size = 0;
  }

  /** Of a file that is whole; null where it is right. */
  wrongHash(): string | null {
    const { sha256 } = this.wanted;
    if (sha256 === null) return null;
    const actual = this.#hasher.copy().digest("hex");
    return actual === sha256 ? null : actual;
  }
}

/** The connection, not the answer, is what failed. */
class Lost extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, { cause });
  }
}

const REASONS = new Map([
  ["ECONNREFUSED", "nothing listens there"],
  ["ECONNRESET", "the connection was closed"],
  ["EPIPE", "the connection was closed"],
  ["EHOSTUNREACH", "no way to that machine"],
  ["ENETUNREACH", "no network"],
  ["ETIMEDOUT", "no answer"],
  ["ENOTFOUND", "no such machine"],
  ["EAI_AGAIN", "the name of the machine cannot be looked up"],
]);

function unreachable(url: URL, lost: Lost, expected: string): AirgapError {
  return new AirgapError(
    "SERVER_UNREACHABLE",
    { subject: url.href, expected, actual: lost.message },
    { cause: lost },
  );
}

function unexpected(url: URL, { statusCode, headers }: IncomingMessage, expected: string): AirgapError {
  const length = headers["content-length"];
  const to = headers.location === undefined ? "" : ` to ${headers.location.slice(0, 100)}`;
  const actual = `${statusCode}${to}${length === undefined ? " without a length" : ` with ${length} bytes`}`;
  return new AirgapError("SERVER_ANSWER", { subject: url.href, expected, actual });
}

/** Null where it is not said, or the bytes are not as they are. */
function lengthOf(headers: IncomingHttpHeaders): number | null {
  const { "content-length": length, "content-encoding": encoding = "identity" } = headers;
  return encoding === "identity" && /^\d{1,15}$/.test(length ?? "") ? Number(length) : null;
}

/** Where distributions keep the certificates that their administrators trust. Node.js has its own list, which no site can add to. */
const SYSTEM_ROOTS = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
];

function systemRoots(): { readonly ca?: Buffer } {
  const path = SYSTEM_ROOTS.find((one) => existsSync(one));
  return path === undefined ? {} : { ca: readFileSync(path) };
}
