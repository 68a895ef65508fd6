/** What clients may do to a server: nothing that they send makes it give anything but what it has, or stop. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AirgapError } from "../../src/errors.js";
import { piecesOfParts, sliceParts } from "../../src/host/file-parts.js";
import { type Answered, type Resource, type RunningServer, startServer } from "../../src/host/http-server.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { tempDir } from "../support/bundle.js";
import { ask, raw } from "../support/serving.js";

const SIZE = 8 * 1024 * 1024;
const large = randomBytes(SIZE);
let server: RunningServer;
let url = "";
let file = "";
let answered: Answered[] = [];
let broken: AirgapError[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  file = join(tempDir(), "large");
  writeFileSync(file, large);
  [answered, broken] = [[], []];
  const small = resource(Buffer.from("hello\n"));
  const names = new Map<string, Resource>([
    ["/small", small],
    ["/empty", resource(Buffer.alloc(0))],
    ["/large", { ...resource(large), body: [{ path: file, offset: 0, size: SIZE }] }],
  ]);
  server = await startServer({
    ...{ address: "127.0.0.1", port: 0, lookup: (path) => names.get(path) ?? null },
    onAnswered: (one) => answered.push(one),
    onBroken: (error) => broken.push(error),
    limits: { connections: 20, head: 300, silence: 1000, rest: 1000 },
  });
  url = `http://127.0.0.1:${server.port}`;
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.stop(0);
});

function resource(body: Buffer): Resource {
  return { type: "text/plain", size: body.length, sha256: formatHex(hashOf("sha256", body)), body };
}

/** Of the first answer. */
const statusOf = async (text: string | Buffer) =>
  Number(/^HTTP\/1\.1 (\d+)/.exec(await raw(server.port, text))?.[1]);
const get = (target: string, ...headers: string[]) =>
  [
    "GET ",
    target,
    " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
    ...headers.map((h) => `${h}\r\n`),
    "\r\n",
  ].join("");

describe("a request", () => {
  it.each([
    ["/small", 200],
    ["http://other.example/small", 200],
    ["HTTPS://[::1]:9/small", 200],
    ...["/", "/small/", "//small", "/./small", "/x/../small", "/../etc/passwd", "/..%2f..%2fetc/passwd"].map(
      missing,
    ),
    ...[
      "/sm%61ll",
      "/small%00",
      "/small?",
      "/small?x=1",
      "/small#x",
      "/SMALL",
      "/small\\",
      "*",
      "file:///etc/passwd",
    ].map(missing),
    ...["http://other.example", "/__proto__", "/constructor", `/${"a".repeat(7000)}`].map(missing),
  ] as [string, number][])("for %j is answered by %i", async (target, status) => {
    expect(await statusOf(get(target))).toBe(status);
  });

  it.each<[string, string | Buffer, number]>([
    ["another verb", "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 405],
    ["DELETE", "DELETE /small HTTP/1.1\r\nHost: x\r\n\r\n", 405],
    ["OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405],
    ["a body", get("/small", "Content-Length: 5").concat("12345"), 400],
    ["a chunked body", get("/small", "Transfer-Encoding: chunked").concat("0\r\n\r\n"), 400],
    ["a body that is announced", get("/small", "Content-Length: 5", "Expect: 100-continue"), 400],
    ["two lengths", get("/small", "Content-Length: 5", "Content-Length: 6"), 400],
    ["a length and chunks", get("/small", "Content-Length: 5", "Transfer-Encoding: chunked"), 400],
    ["no host", "GET /small HTTP/1.1\r\n\r\n", 400],
    ["a control character", "GET /sm\x01all HTTP/1.1\r\nHost: x\r\n\r\n", 400],
    ["a line that never ends", `GET /${"a".repeat(20_000)}`, 431],
    [
      "headers without end",
      get("/small", ...Array.from({ length: 2000 }, (_, i) => `X-${i}: ${"y".repeat(20)}`)),
      431,
    ],
    ["no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", 400],
    ["noise", Buffer.alloc(4000, 0xf7), 400],
    ["a folded header", get("/small", "X: a\r\n b"), 400],
  ])("with %s is refused", async (_, text, status) => {
    expect(await statusOf(text)).toBe(status);
    expect((await ask(url, "/small")).body.toString()).toBe("hello\n");
  });

  it("that asks to switch to another protocol gets the file", async () => {
    expect(await statusOf(get("/small", "Upgrade: websocket").replace("close", "Upgrade"))).toBe(200);
  });

  it("with another verb is told which there are", async () => {
    const { headers, status } = await ask(url, "/small", { method: "PUT" });
    expect([status, headers.allow, headers.connection]).toEqual([405, "GET, HEAD", "close"]);
  });

  it("that is never ended is not waited for", async () => {
    expect(await statusOf("GET /small HTTP/1.1\r\nHost: x\r\nX-Slow: ")).toBe(408);
  });

  it("one after the other on one connection is answered in order, however many are sent ahead", async () => {
    const text = await raw(
      server.port,
      `${"GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n".repeat(50)}${get("/small")}`,
    );
    expect(text.match(/HTTP\/1\.1 206/g)).toHaveLength(50);
    expect(text).toMatch(/hello\n$/);
    expect(answered).toHaveLength(51);
  });

  it("that is followed by noise gets nothing put into the middle of its answer", async () => {
    const text = await raw(server.port, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n\x01\x02\r\n\r\n");
    expect(text.match(/HTTP\/1\.1 /g) ?? []).not.toHaveLength(2);
    expect((await ask(url, "/small")).status).toBe(200);
  });

  it("for nothing, and for its parts", async () => {
    expect(await ask(url, "/empty")).toMatchObject({ status: 200, headers: { "content-length": "0" } });
    expect((await ask(url, "/empty", { headers: { Range: "bytes=0-" } })).status).toBe(416);
  });
});

describe("a client", () => {
  function open(text: string): Socket {
    const socket = connect(server.port, "127.0.0.1", () => socket.write(text));
    socket.on("error", () => {});
    sockets.push(socket);
    return socket;
  }
  it("that reads nothing is closed, and costs no more than a piece", async () => {
    const socket = open(get("/large"));
    socket.pause();
    await expect.poll(() => answered, { timeout: 5000 }).toMatchObject([{ status: 200, complete: false }]);
    expect(answered[0]!.bytes).toBeLessThan(SIZE);
    expect(broken).toEqual([]);
  });

  it("that goes away in between leaves no trace but a line", async () => {
    const socket = open(get("/large"));
    socket.once("data", () => socket.destroy());
    await expect.poll(() => answered).toMatchObject([{ complete: false }]);
    expect((await ask(url, "/large")).body.equals(large)).toBe(true);
  });

  it("that opens more connections than there may be is closed at once; what is said to others goes on", async () => {
    const idle = Array.from({ length: 20 }, () => open("GET /small HTTP/1.1\r\nHost: x\r\n\r\n"));
    await Promise.all(idle.map((socket) => once(socket, "data")));
    await once(open(get("/small")), "close");
    idle[0]!.destroy();
    await expect
      .poll(() =>
        ask(url, "/small").then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });

  it("that rests too long is closed", async () => {
    const socket = open("GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
    socket.resume();
    await once(socket, "close");
    expect(answered).toMatchObject([{ status: 200, complete: true }]);
  });
});

describe("a file that is not what it was", () => {
  it("never ends well: the last piece is held back", async () => {
    const changed = Buffer.from(large);
    changed[5]! ^= 1;
    writeFileSync(file, changed);
    await expect(ask(url, "/large")).rejects.toThrow();
    expect(broken).toMatchObject([{ code: "BLOB_HASH", details: { subject: file } }]);
    expect(answered).toMatchObject([{ status: 200, complete: false }]);
    expect(answered[0]!.bytes).toBeLessThan(SIZE);
  });

  it("or is shorter, or no file any more, ends the connection, or is told before", async () => {
    truncateSync(file, SIZE / 2);
    await expect(ask(url, "/large")).rejects.toThrow();
    expect((await ask(url, "/large", { headers: { Range: `bytes=${SIZE - 9}-` } })).status).toBe(503);
    const codes = broken.map(({ code }) => code);
    expect(codes).toEqual(["BLOB_SIZE", "BLOB_SIZE"]);
  });

  it("nor is anything else followed that lies in its place", async () => {
    rmSync(file);
    symlinkSync("/etc/passwd", file);
    expect((await ask(url, "/large")).status).toBe(503);
    rmSync(file);
    mkdirSync(file);
    expect((await ask(url, "/large")).status).toBe(503);
    expect(broken.map(({ code }) => code)).toEqual(["DISK", "FILE_TYPE"]);
  });
});

describe("told to stop", () => {
  it("takes nobody any more, and lets an answer end", async () => {
    const socket = connect(server.port, "127.0.0.1", () => socket.write(get("/large")));
    sockets.push(socket);
    let size = 0;
    const count = (chunk: Buffer): void => {
      size += chunk.length;
    };
    socket.on("data", count);
    await once(socket, "data");
    socket.pause();
    const stopped = server.stop(10_000);
    await setTimeout(100);
    await expect(ask(url, "/small")).rejects.toThrow("ECONNREFUSED");
    socket.resume();
    await stopped;
    await expect.poll(() => size).toBeGreaterThan(SIZE);
    expect(answered).toMatchObject([{ complete: true, bytes: SIZE }]);
  });

  it("does not wait for ever", async () => {
    const socket = connect(server.port, "127.0.0.1", () => socket.write(get("/large")));
    sockets.push(socket);
    await once(socket, "readable");
    await server.stop(200);
    await expect.poll(() => answered).toMatchObject([{ complete: false }]);
  });
});

describe("a file in several places", () => {
  it("reads as one, from anywhere on", async () => {
    const parts = [
      { path: file, offset: 10, size: 5 },
      { path: file, offset: 0, size: 3 },
      { path: file, offset: 100, size: 0 },
      { path: file, offset: 40, size: 9 },
    ];
    const whole = Buffer.concat(parts.map(({ offset, size }) => large.subarray(offset, offset + size)));
    for (let start = 0; start <= whole.length; start++) {
      for (let length = 0; start + length <= whole.length; length++) {
        const read: Buffer[] = [];
        for await (const piece of piecesOfParts(sliceParts(parts, start, length), Buffer.alloc(4))) {
          read.push(Buffer.from(piece));
        }
        expect(Buffer.concat(read).equals(whole.subarray(start, start + length))).toBe(true);
      }
    }
  });
});

function missing(target: string): [string, number] {
  return [target, 404];
}
