/** What servers may do to a site that fetches from them: nothing but make it stop, with words about what was expected. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { HttpClient } from "../../src/host/http-client.js";
import { isServerUrl, parseServerUrl } from "../../src/host/server-url.js";
import { tempDir } from "../support/bundle.js";

const LIMITS = { silence: 300, paceTime: 300, paceBytes: 100, tries: 3, steadyBytes: 1000, pause: 1 };
const BODY = Buffer.from("the whole of it, byte for byte");
const SHA256 = createHash("sha256").update(BODY).digest("hex");

let server: Server | undefined;
const sockets = new Set<Socket>();
let client: HttpClient | undefined;
afterEach(() => {
  client?.close();
  for (const socket of sockets) socket.destroy();
  server?.close();
});

/** One of those that answer with bytes; `asked` has the heads of requests. */
type Answer = (socket: Socket, head: string, number: number) => void;

async function lying(answer: Answer): Promise<{ url: URL; asked: string[] }> {
  const asked: string[] = [];
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let head = "";
    socket.on("data", (chunk) => {
      head += chunk.toString("latin1");
      for (let end = head.indexOf("\r\n\r\n"); end >= 0; end = head.indexOf("\r\n\r\n")) {
        const one = head.slice(0, end);
        head = head.slice(end + 4);
        asked.push(one);
        answer(socket, one, asked.length);
      }
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/file`), asked };
}

const head = (status: string, ...headers: string[]) =>
  `HTTP/1.1 ${status} X\r\n${headers.map((header) => `${header}\r\n`).join("")}\r\n`;
const ok = (size: number, ...headers: string[]) => head("200", `Content-Length: ${size}`, ...headers);
const whole = (socket: Socket) => void socket.write(Buffer.concat([Buffer.from(ok(BODY.length)), BODY]));

interface Fetched {
  readonly path: string;
  readonly came: () => number;
  readonly done: Promise<void>;
}

async function fetch(
  url: URL,
  { sha256 = SHA256, size = BODY.length, signal = new AbortController().signal } = {},
) {
  client = await HttpClient.open(url, signal, LIMITS);
  const path = join(tempDir(), "file");
  let bytes = 0;
  const done = client.download(url, path, {
    size,
    sha256,
    onBytes: (count) => {
      bytes += count;
    },
  });
  return { path, came: () => bytes, done } satisfies Fetched;
}

describe("a file", () => {
  it("comes whole, at the first attempt", async () => {
    const { url, asked } = await lying(whole);
    const { path, came, done } = await fetch(url);
    await done;
    expect([readFileSync(path), came()]).toEqual([BODY, BODY.length]);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatch(/^GET \/file HTTP\/1\.1\r\n(?!.*(cookie|authorization|range))/is);
    expect(asked[0]).toMatch(/accept-encoding: identity/i);
  });

  it("of which the connection was lost goes on where it was, if it is the same file still", async () => {
    const { url, asked } = await lying((socket, request, number) => {
      if (number === 1) socket.end(`${ok(BODY.length, 'ETag: "one"')}${BODY.subarray(0, 7)}`);
      else {
        expect(request).toMatch(/range: bytes=7-\r\n/i);
        expect(request).toMatch(/if-range: "one"/i);
        const rest = BODY.subarray(7);
        const range = `Content-Range: bytes 7-${BODY.length - 1}/${BODY.length}`;
        socket.write(`${head("206", `Content-Length: ${rest.length}`, range)}${rest}`);
      }
    });
    const { path, came, done } = await fetch(url);
    await done;
    expect([asked.length, readFileSync(path), came()]).toEqual([2, BODY, BODY.length]);
  });

  it("begins anew where the server gives all of it again", async () => {
    const { url } = await lying((socket, _, number) => {
      if (number === 1) socket.end(`${ok(BODY.length)}XXXXX`);
      else whole(socket);
    });
    const { path, came, done } = await fetch(url);
    await done;
    expect([readFileSync(path), came()]).toEqual([BODY, BODY.length]);
  });

  it("whose bytes were wrong once is fetched again", async () => {
    const { url } = await lying((socket, _, number) => {
      if (number === 1) socket.write(`${ok(BODY.length)}${"X".repeat(BODY.length)}`);
      else whole(socket);
    });
    const { path, done } = await fetch(url);
    await done;
    expect(readFileSync(path)).toEqual(BODY);
  });

  it("that is long may lose its connection more often than a short one", async () => {
    const long = Buffer.alloc(8000, "x");
    const sha256 = createHash("sha256").update(long).digest("hex");
    const { url, asked } = await lying((socket, request) => {
      const from = Number(/range: bytes=(\d+)-/i.exec(request)?.[1] ?? 0);
      const range = `Content-Range: bytes ${from}-${long.length - 1}/${long.length}`;
      const length = `Content-Length: ${long.length - from}`;
      const last = from + 1000;
      socket.end(`${from === 0 ? ok(long.length) : head("206", length, range)}${long.subarray(from, last)}`);
    });
    const { done } = await fetch(url, { size: long.length, sha256 });
    await done;
    expect(asked).toHaveLength(8);
  });

  it("that is empty is asked for all the same", async () => {
    const { url, asked } = await lying((socket) => void socket.write(ok(0)));
    const { path, done } = await fetch(url, { size: 0, sha256: createHash("sha256").digest("hex") });
    await done;
    expect([asked.length, readFileSync(path).length]).toEqual([1, 0]);
  });

  it("is never written over another", async () => {
    const { url } = await lying(whole);
    const { path, done } = await fetch(url);
    await done;
    const again = client!.download(url, path, { size: BODY.length, sha256: SHA256, onBytes: () => {} });
    await expect(again).rejects.toMatchObject({ code: "DISK" });
  });
});

describe("a server that lies", () => {
  const redirect = (socket: Socket) =>
    socket.write(head("302", "Location: http://127.0.0.1:1/", "Content-Length: 0"));

  it.each<[string, Answer, string, number]>([
    [
      "with other bytes, each time",
      (socket) => socket.write(`${ok(BODY.length)}${"X".repeat(BODY.length)}`),
      "BLOB_HASH",
      2,
    ],
    ["by sending elsewhere", redirect, "SERVER_ANSWER", 1],
    ["with 404", (socket) => socket.write(head("404", "Content-Length: 0")), "SERVER_ANSWER", 1],
    ["with 503", (socket) => socket.write(head("503", "Content-Length: 0")), "SERVER_ANSWER", 1],
    [
      "with 206 for all",
      (socket) =>
        socket.write(
          head(
            "206",
            `Content-Length: ${BODY.length}`,
            `Content-Range: bytes 0-${BODY.length - 1}/${BODY.length}`,
          ),
        ),
      "SERVER_ANSWER",
      1,
    ],
    [
      "about the length, too long",
      (socket) => socket.write(`${ok(BODY.length + 1)}${BODY}X`),
      "SERVER_ANSWER",
      1,
    ],
    ["about the length, too short", (socket) => socket.write(`${ok(3)}abc`), "SERVER_ANSWER", 1],
    ["about the length, far too long", (socket) => socket.write(ok(2 ** 52)), "SERVER_ANSWER", 1],
    [
      "about the length, in words",
      (socket) => socket.write(head("200", "Content-Length: many")),
      "SERVER_UNREACHABLE",
      3,
    ],
    ["with an endless body", (socket) => endless(socket, "Transfer-Encoding: chunked"), "SERVER_ANSWER", 1],
    ["with a body until it closes", (socket) => endless(socket), "SERVER_ANSWER", 1],
    [
      "with more than it announced",
      (socket) => endless(socket, `Content-Length: ${BODY.length}`),
      "BLOB_HASH",
      2,
    ],
    [
      "with packed bytes",
      (socket) => socket.write(`${ok(BODY.length, "Content-Encoding: gzip")}${BODY}`),
      "SERVER_ANSWER",
      1,
    ],
    [
      "with endless headers",
      (socket) => socket.write(`HTTP/1.1 200 X\r\n${"X: y\r\n".repeat(20_000)}`),
      "SERVER_UNREACHABLE",
      3,
    ],
    ["with no HTTP", (socket) => socket.write("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "SERVER_UNREACHABLE", 3],
    ["by closing", (socket) => socket.destroy(), "SERVER_UNREACHABLE", 3],
    ["by saying nothing", () => {}, "SERVER_UNREACHABLE", 3],
    [
      "by stopping in between",
      (socket, _, number) => number === 1 && socket.write(`${ok(BODY.length)}abc`),
      "SERVER_UNREACHABLE",
      3,
    ],
    ["by dripping", (socket) => drip(socket), "SERVER_UNREACHABLE", 3],
  ])("%s", async (_, answer, code, times) => {
    const { url, asked } = await lying(answer);
    const { done, path } = await fetch(url);
    await expect(done).rejects.toMatchObject({
      code,
      details: { subject: url.href, expected: expect.any(String), actual: expect.any(String) },
    });
    expect(asked.length).toBe(times);
    expect(readFileSync(path).length).toBeLessThanOrEqual(BODY.length);
  });

  it("with another part than was asked for", async () => {
    const { url } = await lying((socket, _, number) => {
      if (number === 1) socket.end(`${ok(BODY.length)}abc`);
      else
        socket.write(`${head("206", "Content-Length: 5", `Content-Range: bytes 0-4/${BODY.length}`)}abcde`);
    });
    await expect((await fetch(url)).done).rejects.toMatchObject({ code: "SERVER_ANSWER" });
  });

  it("and nobody at all", async () => {
    const { url } = await lying(whole);
    await new Promise((resolve) => server!.close(resolve));
    client = await HttpClient.open(url, new AbortController().signal, LIMITS);
    await expect(client.get(url, 10)).rejects.toMatchObject({
      code: "SERVER_UNREACHABLE",
      exit: 21,
      details: { actual: "nothing listens there" },
    });
  });

  it.each<[string, Answer]>([
    ["a listing over its cap", (socket) => socket.write(ok(11))],
    ["a listing without end", (socket) => endless(socket, "Transfer-Encoding: chunked")],
    ["a listing elsewhere", redirect],
  ])("with %s", async (_, answer) => {
    const { url, asked } = await lying(answer);
    client = await HttpClient.open(url, new AbortController().signal, LIMITS);
    await expect(client.get(url, 10)).rejects.toMatchObject({ code: "SERVER_ANSWER", exit: 21 });
    expect(asked).toHaveLength(1);
  });
});

function endless(socket: Socket, ...headers: string[]): void {
  socket.write(head("200", ...headers));
  const piece = `400\r\n${"x".repeat(1024)}\r\n`;
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on("drain", more);
  more();
}

/** Never silent, never at an end. */
function drip(socket: Socket): void {
  socket.write(ok(BODY.length));
  const timer = setInterval(() => socket.write("x"), 50);
  socket.once("close", () => clearInterval(timer));
}

describe("who is told to stop", () => {
  it("stops at once, in between", async () => {
    const { url } = await lying((socket) => socket.write(`${ok(BODY.length)}abc`));
    const controller = new AbortController();
    const { done, came } = await fetch(url, { signal: controller.signal });
    await expect.poll(came).toBe(3);
    controller.abort();
    await expect(done).rejects.toMatchObject({ code: "INTERRUPTED" });
  });

  it("does not begin", async () => {
    const { url, asked } = await lying(whole);
    const { done } = await fetch(url, { signal: AbortSignal.abort() });
    await expect(done).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(asked).toEqual([]);
  });
});

it("a certificate that the system does not trust is no answer", async () => {
  const dir = tempDir();
  const [key, cert] = [join(dir, "key"), join(dir, "cert")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
  const made = ["req", "-x509", "-nodes", ...curve, ...subject, "-keyout", key, "-out", cert];
  execFileSync("openssl", made, { stdio: "ignore" });
  let asked = 0;
  const secure = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) => {
    asked += 1;
    response.end();
  });
  await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
  const url = new URL(`https://127.0.0.1:${(secure.address() as AddressInfo).port}/`);
  client = await HttpClient.open(url, new AbortController().signal, LIMITS);
  await expect(client.get(url, 10)).rejects.toMatchObject({
    code: "SERVER_UNREACHABLE",
    details: { actual: "DEPTH_ZERO_SELF_SIGNED_CERT" },
  });
  expect(asked).toBe(0);
  secure.close();
});

it("no variable of the environment puts a proxy in between", async () => {
  const { url, asked } = await lying(whole);
  const before = { ...process.env };
  Object.assign(process.env, {
    http_proxy: "http://127.0.0.1:1",
    HTTP_PROXY: "http://127.0.0.1:1",
    NODE_USE_ENV_PROXY: "1",
  });
  try {
    await (await fetch(url)).done;
  } finally {
    process.env = before;
  }
  expect(asked).toHaveLength(1);
});

describe("a URL of a server", () => {
  it.each([
    ["http://cache.site:8484", "http://cache.site:8484/"],
    ["http://cache.site/airgap", "http://cache.site/airgap/"],
    ["HTTPS://cache.site/", "https://cache.site/"],
    ["http://[::1]:80/", "http://[::1]/"],
  ])("%s", (text, expected) => {
    expect([isServerUrl(text), parseServerUrl(text).href]).toEqual([true, expected]);
  });

  it.each([
    "http://",
    "http://a b/",
    "http://user@host/",
    "http://:secret@host/",
    "http://host/?x",
    "http://host/#x",
  ])("refuses %s", (text) => {
    expect(() => parseServerUrl(text)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  it.each(["bundle.tar", "/http://x", "./http://x", "http:", "http:/x", "file:///x", "ssh://x", "xhttp://x"])(
    "is not %s",
    (text) => {
      expect(isServerUrl(text)).toBe(false);
    },
  );
});
