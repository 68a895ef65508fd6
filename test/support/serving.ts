/** `serve` running in the test's own process, and plain requests to it and to servers that a test makes itself. */
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { afterEach } from "vitest";
import type { ServeReport } from "../../src/generated/types.js";
import { type ServeOptions, serve } from "../../src/ops/serve.js";
import { packerKey, testContext } from "./bundle.js";
import { trusting } from "./trust.js";

export interface Serving {
  /** `http://127.0.0.1:PORT/`. */
  readonly url: string;
  readonly port: number;
  /** Of narinfos. */
  readonly publicKey: string;
  readonly notes: () => string[];
  /** Access entries so far. */
  readonly log: () => { path: string; status: number; bytes: number; complete: boolean }[];
  stop(): Promise<ServeReport>;
}

const running: Serving[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

/** On a free port; stopped when the test has ended. */
export async function serving(bundle: string, options: Partial<ServeOptions> = {}): Promise<Serving> {
  const controller = new AbortController();
  const context = testContext(controller.signal);
  const notes = () => context.events.flatMap((event) => (event.type === "note" ? [event.text] : []));
  const report = serve(
    bundle,
    {
      trust: trusting(packerKey),
      listen: "127.0.0.1:0",
      beyondLoopback: false,
      ...options,
    },
    context,
  );
  const found = (pattern: RegExp) => notes().flatMap((text) => pattern.exec(text)?.[1] ?? [])[0];
  const ended = report.then((early) => {
    throw new Error(`serve ended: ${JSON.stringify(early)}`);
  });
  ended.catch(() => {});
  while (found(/^trusted-public-keys = (.+)/) === undefined) {
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10))]);
  }
  const url = found(/ at (http:.+)$/)!;
  const one: Serving = {
    url,
    port: Number(new URL(url).port),
    publicKey: found(/^trusted-public-keys = (.+)/)!,
    notes,
    log: () =>
      context.events.flatMap((event) => (event.type === "request.answered" ? [JSON.parse(event.line)] : [])),
    stop: () => {
      controller.abort();
      return report;
    },
  };
  running.push(one);
  return one;
}

export interface Response {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One request, on a connection of its own. The path goes as it is. */
export function ask(
  base: string,
  path: string,
  { method = "GET", headers = {} }: { readonly method?: string; readonly headers?: OutgoingHttpHeaders } = {},
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(base);
    const sent = request({ host: hostname, port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    sent.on("error", reject);
    sent.end();
  });
}

/** Bytes as they are, and all that comes back until the other side closes. */
export function raw(port: number, text: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", (error) => {
      if ((error as NodeJS.ErrnoException).code !== "ECONNRESET") reject(error);
    });
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
  });
}
