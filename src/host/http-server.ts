/**
 * A read-only HTTP server for what a function gives by its exact name: GET and HEAD, one range, entity tags, bounded memory
 * however many clients there are and however they behave. What there is to get, and who may, is for others.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { AirgapError, fail } from "../errors.js";
import type { Segment } from "../segments.js";
import { piecesOfParts, sliceParts } from "./file-parts.js";
import { errorCode } from "./files.js";
import { entityTag, hasAlready, mayResume, selectRange } from "./http-range.js";

/** What a name gives. */
export interface Resource {
  /** Media type. */
  readonly type: string;
  readonly size: number;
  /** Hex, of all of it: the entity tag; a whole file that turns out to have another is never sent to its end. */
  readonly sha256: string;
  readonly body: Buffer | readonly Segment[];
  /** Default: 200. */
  readonly status?: 200 | 503;
  readonly headers?: OutgoingHttpHeaders;
}

/** By the path of the request's target, byte for byte: nothing is decoded or resolved. */
export type Lookup = (path: string) => Resource | null | Promise<Resource | null>;

/** What became of one request. */
export interface Answered {
  readonly client: string;
  readonly method: string;
  /** As it was sent. */
  readonly path: string;
  readonly status: number;
  /** Of the body, handed to the system. */
  readonly bytes: number;
  readonly milliseconds: number;
  /** False where the connection was closed before the end, by whomever. */
  readonly complete: boolean;
}

export interface ServerOptions {
  readonly address: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly lookup: Lookup;
  readonly onAnswered: (answered: Answered) => void;
  /** A file could not be read, or is not what it was. The client's connection was closed, or it was told 503. */
  readonly onBroken: (error: AirgapError) => void;
  readonly limits?: Partial<ServerLimits>;
}

export interface ServerLimits {
  /** Connections at a time; what comes beyond is closed at once. */
  readonly connections: number;
  /** Milliseconds in which a request's head must be there. */
  readonly head: number;
  /** Milliseconds in which something must move. */
  readonly silence: number;
  /** Milliseconds that a connection may rest between requests. */
  readonly rest: number;
}

const LIMITS: ServerLimits = { connections: 512, head: 10_000, silence: 60_000, rest: 15_000 };
/** Bytes of request line and headers. */
const MAX_HEAD = 8 * 1024;
const MAX_HEADERS = 64;
/** Bytes in memory for each answer. */
const PIECE = 64 * 1024;
/** Milliseconds between two looks at what has come to rest. */
const LOOK = 50;

export interface RunningServer {
  readonly address: string;
  readonly port: number;
  /** Takes no more requests, lets those that run end within so many milliseconds, then closes all. */
  stop(grace: number): Promise<void>;
}

/** @throws AirgapError LISTEN_FAILED */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const limits = { ...LIMITS, ...options.limits };
  const turns = new WeakMap<Duplex, Promise<void>>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    // One answer at a time on a connection, however many requests a client sends ahead.
    const { socket } = request;
    const turn = (turns.get(socket) ?? Promise.resolve())
      .then(() => new Exchange(request, response, options).run())
      .then(() => {
        if (turns.get(socket) === turn) turns.delete(socket);
      });
    turns.set(socket, turn);
  };
  const { createServer } = await import("node:http");
  const server = createServer(
    {
      maxHeaderSize: MAX_HEAD,
      headersTimeout: limits.head,
      requestTimeout: limits.head,
      keepAliveTimeout: limits.rest,
      connectionsCheckingInterval: Math.min(1000, limits.head),
    },
    answer,
  );
  server.maxConnections = limits.connections;
  server.maxHeadersCount = MAX_HEADERS;
  server.timeout = limits.silence;
  // Whoever announces a body is answered like whoever sends one.
  server.on("checkContinue", answer);
  server.on("clientError", (error, socket) => {
    // Nothing is written into the middle of an answer.
    if (turns.has(socket)) socket.destroy();
    else refuseMalformed(error, socket, options);
  });
  await listen(server, options);
  // A connection that could not be taken, for want of files: its client sees it, and others go on.
  server.on("error", () => {});
  const { address, port } = server.address() as AddressInfo;
  return { address, port, stop: (grace) => stop(server, grace) };
}

function listen(server: Server, { address, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const actual = LISTEN_REASONS.get(errorCode(cause)) ?? errorCode(cause);
      reject(new AirgapError("LISTEN_FAILED", { subject: `${address} port ${port}`, actual }, { cause }));
    });
    server.listen({ host: address, port }, resolve);
  });
}

const LISTEN_REASONS = new Map([
  ["EADDRINUSE", "another program listens there"],
  ["EADDRNOTAVAIL", "this machine has no such address"],
  ["EACCES", "no permission to listen there"],
]);

async function stop(server: Server, grace: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const ended = new AbortController();
  const waiting = (async () => {
    for (let waited = 0; waited < grace && !ended.signal.aborted; waited += LOOK) {
      server.closeIdleConnections();
      await setTimeout(LOOK);
    }
    server.closeAllConnections();
  })();
  await closed;
  ended.abort();
  await waiting;
}

/** What is no HTTP, is too long, or does not come to its end. */
function refuseMalformed(error: Error, socket: Duplex, { onAnswered }: ServerOptions): void {
  const code = errorCode(error);
  const status = code === "HPE_HEADER_OVERFLOW" ? 431 : code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const client = (socket as Socket).remoteAddress ?? "";
  if (socket.writable && code !== "ECONNRESET") {
    onAnswered({ client, method: "", path: "", status, bytes: 0, milliseconds: 0, complete: true });
    socket.write(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
  socket.destroy();
}

/** One request and its answer. */
class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #options: ServerOptions;
  readonly #client: string;
  #bytes = 0;

  constructor(request: IncomingMessage, response: ServerResponse, options: ServerOptions) {
    this.#request = request;
    this.#response = response;
    this.#options = options;
    this.#client = request.socket.remoteAddress ?? "";
    response.on("error", () => {});
  }

  async run(): Promise<void> {
    const { socket, method = "", url = "" } = this.#request;
    if (socket.destroyed) return;
    const started = performance.now();
    let complete = true;
    try {
      await this.#answer();
    } catch (error) {
      complete = false;
      if (error instanceof AirgapError) this.#options.onBroken(error);
      else if (!(error instanceof ClientGone)) throw error;
      if (this.#response.headersSent) socket.destroy();
      else await this.#say(503, { "Retry-After": "60" }).catch(() => {});
    }
    this.#options.onAnswered({
      client: this.#client,
      method,
      path: url,
      status: this.#response.statusCode,
      bytes: this.#bytes,
      milliseconds: performance.now() - started,
      complete,
    });
  }

  async #answer(): Promise<void> {
    const { method, headers, url = "" } = this.#request;
    if (method !== "GET" && method !== "HEAD") {
      return this.#say(405, { Allow: "GET, HEAD", Connection: "close" });
    }
    if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0) {
      return this.#say(400, { Connection: "close" });
    }
    const resource = await this.#options.lookup(pathOf(url));
    if (resource === null) return this.#say(404);
    const { type, size, sha256, status = 200, body } = resource;
    const tag = entityTag(sha256);
    const about: OutgoingHttpHeaders = {
      "Accept-Ranges": "bytes",
      ETag: tag,
      "X-Content-Type-Options": "nosniff",
      ...resource.headers,
    };
    if (status === 200 && hasAlready(headers["if-none-match"], tag)) {
      return this.#end(304, about);
    }
    // A range is a matter of GET alone.
    const asked = method === "GET" && status === 200 && mayResume(headers["if-range"]?.toString(), tag);
    const selection = selectRange(asked ? headers.range : undefined, size);
    if (selection.kind === "none") return this.#say(416, { "Content-Range": `bytes */${size}` });
    const { start, length } = selection.kind === "part" ? selection : { start: 0, length: size };
    const head: OutgoingHttpHeaders = { ...about, "Content-Type": type, "Content-Length": length };
    if (selection.kind === "part") head["Content-Range"] = `bytes ${start}-${start + length - 1}/${size}`;
    const code = selection.kind === "part" ? 206 : status;
    if (method === "HEAD") return this.#end(code, head);
    if (Buffer.isBuffer(body)) {
      this.#response.writeHead(code, head);
      if (length > 0) await this.#write(body.subarray(start, start + length));
      return this.#finish();
    }
    await this.#sendFile(code, head, sliceParts(body, start, length), length === size ? sha256 : null);
  }

  /** With a hash, the last piece is held back until all has it: what changed on the medium never arrives as whole. */
  async #sendFile(
    code: number,
    head: OutgoingHttpHeaders,
    parts: readonly Segment[],
    sha256: string | null,
  ): Promise<void> {
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    const hasher = sha256 === null ? null : createHash("sha256");
    let read = 0;
    for await (const piece of piecesOfParts(parts, Buffer.allocUnsafe(Math.min(PIECE, size)))) {
      read += piece.length;
      hasher?.update(piece);
      if (read === size && hasher !== null) requireHash(parts, hasher.digest("hex"), sha256 ?? "");
      // Only now: of what cannot be read the client is told so.
      if (!this.#response.headersSent) this.#response.writeHead(code, head);
      await this.#write(piece);
    }
    if (!this.#response.headersSent) this.#response.writeHead(code, head);
    this.#finish();
  }

  /** Resolves when the bytes are with the system, so that they need not be kept. @throws ClientGone */
  #write(bytes: Buffer): Promise<void> {
    const { socket } = this.#request;
    return new Promise((resolve, reject) => {
      const gone = () => reject(new ClientGone());
      if (socket.destroyed) return gone();
      socket.once("close", gone);
      this.#response.write(bytes, (error) => {
        socket.off("close", gone);
        if (error) return reject(new ClientGone());
        this.#bytes += bytes.length;
        resolve();
      });
    });
  }

  async #say(status: number, headers: OutgoingHttpHeaders = {}): Promise<void> {
    const text = Buffer.from(`${status}\n`);
    const { method } = this.#request;
    this.#response.writeHead(status, {
      "Content-Type": "text/plain; charset=utf-8",
      "Content-Length": text.length,
      "X-Content-Type-Options": "nosniff",
      ...headers,
    });
    if (method !== "HEAD") await this.#write(text);
    this.#finish();
  }

  #end(status: number, headers: OutgoingHttpHeaders): void {
    this.#response.writeHead(status, headers);
    this.#finish();
  }

  /** All that it says is with the system by then, or will be at once: only a head is left. */
  #finish(): void {
    this.#response.end();
  }
}

/** The client closed the connection, or was too slow: no concern of ours. */
class ClientGone extends Error {}

function requireHash([first]: readonly Segment[], actual: string, expected: string): void {
  if (actual === expected) return;
  fail("BLOB_HASH", { subject: first?.path ?? "", expected, actual });
}

/** Also of a target in absolute form, which is for proxies: whose host it names is of no concern to a public cache. */
function pathOf(target: string): string {
  return target.replace(/^https?:\/\/[^/?#]*/i, "");
}
