/** serve by real HTTP, from releases made without Nix: what it gives, and what it does when the medium is not what it was. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { blobName } from "../../src/bundle/layout.js";
import {
  validateAccessEntry,
  validateHealthReport,
  validateServeReport,
} from "../../src/generated/report-validators.js";
import { fingerprint, parseNarInfo } from "../../src/nix/narinfo.js";
import { generateSecretKey, parsePublicKey, verifyFingerprint } from "../../src/nix/signature.js";
import { accessEntry, formatAccess } from "../../src/ops/serve/access.js";
import { serve } from "../../src/ops/serve.js";
import { packerKey, strangerKey, tempDir, testContext, writeBundle } from "../support/bundle.js";
import { makeRelease, pathOf } from "../support/release.js";
import { ask, serving } from "../support/serving.js";
import { CAN_MOUNT, Tmpfs } from "../support/tmpfs.js";
import { trusting } from "../support/trust.js";

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const hashPart = (storePath: string) => storePath.slice(11, 43);
const options = { trust: trusting(packerKey), listen: "127.0.0.1:0", beyondLoopback: false };

describe.each(["directory", "tar"] as const)("from a %s", (form) => {
  it("a cache is there whose narinfos are the document's, signed by the key that is told", async () => {
    const { document, named } = makeRelease();
    const server = await serving(await writeBundle(makeRelease(), { form }));
    const info = await ask(server.url, "/nix-cache-info");
    expect([info.status, info.headers["content-type"]]).toEqual([200, "text/x-nix-cache-info"]);
    expect(info.body.toString()).toMatch(/^StoreDir: \/nix\/store\n/);
    const key = parsePublicKey(server.publicKey);
    for (const path of document.paths) {
      const { status, body, headers } = await ask(server.url, `/${hashPart(path.storePath)}.narinfo`);
      expect([status, headers["content-type"]]).toEqual([200, "text/x-nix-narinfo"]);
      const narInfo = parseNarInfo(body.toString());
      expect(narInfo).toMatchObject({
        storePath: path.storePath,
        url: blobName(path.blob),
        narSize: path.narSize,
      });
      const own = narInfo.signatures.filter((text) => text.startsWith(`${key.name}:`));
      expect(own).toHaveLength(path.ca === null ? 1 : 0);
      for (const text of own) expect(verifyFingerprint(fingerprint(narInfo), text, key)).toBe(true);
    }
    expect((await ask(server.url, `/${hashPart(named.pump)}.narinfo.`)).status).toBe(404);
  });

  it("every file of the bundle is there, by its own name, with its hash as entity tag", async () => {
    const release = makeRelease();
    const directory = await writeBundle(release);
    const server = await serving(await writeBundle(release, { form }));
    const files = JSON.parse((await ask(server.url, "/files.json")).body.toString()).files as {
      name: string;
      size: number;
    }[];
    const names = (readdirSync(directory, { recursive: true, withFileTypes: true }) as unknown[])
      .map((entry) => entry as { isFile(): boolean; name: string; parentPath: string })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1))
      .sort();
    expect(files.map(({ name }) => name)).toEqual(names);
    for (const { name, size } of files) {
      const { status, headers, body } = await ask(server.url, `/bundle/${name}`);
      expect([status, body.equals(readFileSync(join(directory, name)))], name).toEqual([200, true]);
      expect(headers).toMatchObject({
        "content-length": `${size}`,
        etag: `"${sha256(body)}"`,
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
      });
    }
    const blob = files.find(({ name }) => name.startsWith("blobs/"))!.name;
    expect((await ask(server.url, `/${blob}`)).headers["cache-control"]).toMatch(/immutable/);
    expect((await ask(server.url, "/docs/notice.txt")).status).toBe(404);
  });

  it("parts of a file, and conditions, are answered as RFC 9110 says", async () => {
    const release = makeRelease();
    const server = await serving(await writeBundle(release, { form }));
    const { blob } = pathOf(release.document, release.named.pump);
    const path = `/${blobName(blob)}`;
    const whole = release.blobs.get(blob)!;
    const range = (Range: string, more = {}) => ask(server.url, path, { headers: { Range, ...more } });
    const size = whole.length;
    expect(await range("bytes=2-5")).toMatchObject({
      status: 206,
      body: whole.subarray(2, 6),
      headers: { "content-range": `bytes 2-5/${size}`, "content-length": "4", etag: `"${blob}"` },
    });
    expect(await range("bytes=-3")).toMatchObject({ status: 206, body: whole.subarray(size - 3) });
    expect(await range(`bytes=${size - 1}-`)).toMatchObject({ status: 206, body: whole.subarray(size - 1) });
    expect(await range(`bytes=${size}-`)).toMatchObject({
      status: 416,
      headers: { "content-range": `bytes */${size}` },
    });
    expect(await range("bytes=0-0", { "If-Range": `"${blob}"` })).toMatchObject({ status: 206 });
    expect(await range("bytes=0-0", { "If-Range": '"other"' })).toMatchObject({ status: 200, body: whole });
    const none = { headers: { "If-None-Match": `W/"${blob}"` } };
    const unchanged = await ask(server.url, path, none);
    expect([unchanged.status, unchanged.body.length, unchanged.headers.etag]).toEqual([304, 0, `"${blob}"`]);
    const head = await ask(server.url, path, { method: "HEAD", headers: { Range: "bytes=0-1" } });
    expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, `${size}`, 0]);
    const inMemory = await ask(server.url, "/nix-cache-info", { headers: { Range: "bytes=0-7" } });
    expect([inMemory.status, inMemory.body.toString()]).toEqual([206, "StoreDir"]);
  });

  it("bytes that changed on the medium after the verification never arrive as whole, and health says so", async () => {
    const release = makeRelease();
    const bundle = await writeBundle(release, { form });
    const server = await serving(bundle);
    const { blob, blobSize } = pathOf(release.document, release.named.pump);
    const file = form === "tar" ? bundle : join(bundle, blobName(blob));
    const bytes = readFileSync(file);
    const start = form === "tar" ? bytes.indexOf(release.blobs.get(blob)!) : 0;
    bytes[start + blobSize - 1]! ^= 1;
    writeFileSync(file, bytes);
    expect(await health(server.url)).toMatchObject({ code: 200, status: "ok" });
    expect((await ask(server.url, `/${blobName(blob)}`)).status).toBe(503);
    expect(await health(server.url)).toMatchObject({
      code: 503,
      status: "failed",
      reason: expect.stringContaining("SHA-256"),
    });
    const other = pathOf(release.document, release.named.script).blob;
    expect((await ask(server.url, `/${blobName(other)}`)).status).toBe(200);
    const report = await server.stop();
    expect(report).toMatchObject({
      verdict: "stopped",
      exit: 0,
      trouble: expect.stringContaining("SHA-256"),
    });
  });

  it("a medium that is taken away is told of, and back again when it is", async () => {
    const release = makeRelease();
    const bundle = await writeBundle(release, { form });
    const server = await serving(bundle);
    const blob = `/${blobName(pathOf(release.document, release.named.pump).blob)}`;
    renameSync(bundle, `${bundle}-away`);
    expect((await ask(server.url, blob)).status).toBe(503);
    expect(await health(server.url)).toMatchObject({
      code: 503,
      reason: expect.stringContaining("no such file"),
    });
    expect((await ask(server.url, "/")).status).toBe(200);
    renameSync(`${bundle}-away`, bundle);
    expect(await health(server.url)).toMatchObject({ code: 200, reason: null });
    expect((await ask(server.url, blob)).status).toBe(200);
    expect(server.notes().filter((text) => text.startsWith("the medium:"))).toHaveLength(1);
  });
});

async function health(url: string) {
  const { status: code, body } = await ask(url, "/health");
  const report = JSON.parse(body.toString()) as object;
  expect(validateHealthReport(report), JSON.stringify(validateHealthReport.errors)).toBe(true);
  return { code, ...report };
}

describe("the page for people", () => {
  it("says what this is, who approved it, and the lines for nix.conf; nothing in it runs", async () => {
    const release = makeRelease();
    const server = await serving(await writeBundle(release));
    const { headers, body } = await ask(server.url, "/", { headers: { Host: "evil.example:80" } });
    const text = body.toString();
    for (const part of [
      ...["pump 1.0.0", "packer-1, approved 2024-03-01T12:00:00Z", release.named.pump, release.named.pumpDev],
      ...[`substituters = ${server.url}`, `trusted-public-keys = ${server.publicKey}`],
      ...[`nix-airgap restore ${server.url}`, "made for this run"],
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toMatch(/<script|evil|https?:\/\/(?!127\.0\.0\.1)| on\w+=/i);
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    const style = createHash("sha256")
      .update(/<style>(.*)<\/style>/.exec(text)![1]!)
      .digest("base64");
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none';/);
    expect(headers["content-security-policy"]).toContain(`style-src 'sha256-${style}'`);
  });

  it("keeps what a document says as text", async () => {
    const release = makeRelease();
    release.document.roots[1]!.attr = `packages."<script>alert('&')</script>"`;
    const server = await serving(await writeBundle(release));
    const text = (await ask(server.url, "/")).body.toString();
    expect(text).toContain("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;");
    expect(text).not.toContain("<script");
  });

  it("does not warn of a key that stays", async () => {
    const key = generateSecretKey("given-1");
    const server = await serving(await writeBundle(makeRelease()), { key });
    expect(server.publicKey).toMatch(/^given-1:/);
    expect((await ask(server.url, "/")).body.toString()).not.toContain("made for this run");
    expect((await server.stop()).key?.from).toBe("file");
  });
});

describe("the access log", () => {
  it("has a line of JSON for each request, harmless whatever was asked for", async () => {
    const file = join(tempDir(), "access.jsonl");
    const server = await serving(await writeBundle(makeRelease()), { accessLog: file });
    await ask(server.url, "/nix-cache-info");
    await ask(server.url, "/%1b[31m", { method: "HEAD" });
    await ask(server.url, `/${"x".repeat(1000)}`, { method: "DELETE" });
    expect(server.log()).toEqual([]);
    await server.stop();
    const text = readFileSync(file, "latin1");
    expect(text).toMatch(/^[\n\x20-\x7e]+$/);
    const entries = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    for (const entry of entries) expect(validateAccessEntry(entry), JSON.stringify(entry)).toBe(true);
    expect(entries).toMatchObject([
      { method: "GET", path: "/nix-cache-info", status: 200, bytes: 51, complete: true, client: "127.0.0.1" },
      { method: "HEAD", path: "/%1b[31m", status: 404, bytes: 0 },
      { method: "DELETE", path: `/${"x".repeat(255)}`, status: 405 },
    ]);
  });

  it("escapes what a terminal would obey, and stays the same text", () => {
    const path = "/\u001b[31m\u009b\u202e\n";
    const answered = {
      client: "::1",
      method: "GET",
      path,
      status: 404,
      bytes: 0,
      milliseconds: 1.6,
      complete: true,
    };
    const line = formatAccess(accessEntry(answered, "2026-01-01T00:00:00Z"));
    expect(line).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(line)).toMatchObject({ path, ms: 2 });
  });

  it.skipIf(!CAN_MOUNT)(
    "that cannot be written is told of once, and what is asked for is given",
    async () => {
      const disk = new Tmpfs(join(tempDir(), "disk"), { size: "64k" });
      try {
        const server = await serving(await writeBundle(makeRelease()), { accessLog: join(disk.path, "log") });
        disk.fill();
        for (let i = 0; i < 40; i++) expect((await ask(server.url, "/nix-cache-info")).status).toBe(200);
        expect(server.notes().filter((text) => text.startsWith("no access log"))).toHaveLength(1);
        expect((await server.stop()).answers.requests).toBe(40);
      } finally {
        disk.unmount();
      }
    },
  );

  it("in a place that cannot be written stops it before it begins", async () => {
    const accessLog = join(tempDir(), "nowhere/log");
    const report = await serve(await writeBundle(makeRelease()), { ...options, accessLog }, testContext());
    expect(report).toMatchObject({ verdict: "failed", exit: 22, bundle: null, findings: [{ code: "DISK" }] });
  });

  it("goes to who watches where no file is given", async () => {
    const server = await serving(await writeBundle(makeRelease()));
    await ask(server.url, "/x");
    expect(server.log()).toMatchObject([{ path: "/x", status: 404 }]);
  });
});

describe("before it serves", () => {
  it("a bundle of a stranger, or a damaged one, is refused", async () => {
    const stranger = await writeBundle(makeRelease(), { keys: [strangerKey] });
    expect(await serve(stranger, options, testContext())).toMatchObject({
      verdict: "refused",
      exit: 12,
      url: null,
      findings: [{ code: "APPROVAL_UNTRUSTED" }],
    });
    const bundle = await writeBundle(makeRelease());
    writeFileSync(join(bundle, "roots.txt"), "/nix/store/evil\n");
    const report = await serve(bundle, options, testContext());
    expect(report).toMatchObject({ verdict: "refused", exit: 11, findings: [{ code: "DERIVED_DIFFERS" }] });
    expect(validateServeReport(report), JSON.stringify(validateServeReport.errors)).toBe(true);
  });

  it.each(["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])(
    "listening at %s is refused until it is allowed",
    async (listen) => {
      const bundle = await writeBundle(makeRelease());
      await expect(serve(bundle, { ...options, listen }, testContext())).rejects.toMatchObject({
        code: "USAGE",
        details: { hint: expect.stringContaining("--beyond-loopback") },
      });
    },
  );

  it("beyond loopback it serves what it is allowed to", async () => {
    const server = await serving(await writeBundle(makeRelease()), {
      listen: "0.0.0.0:0",
      beyondLoopback: true,
    });
    expect((await ask(`http://127.0.0.1:${server.port}`, "/health")).status).toBe(200);
  });

  it("a port that is taken, or no address of this machine, is told before the bundle is read", async () => {
    const server = await serving(await writeBundle(makeRelease()));
    for (const listen of [`127.0.0.1:${server.port}`, "192.0.2.1:0"]) {
      const there = join(mkdtempSync(join(tempDir(), "x")), "nothing");
      const report = await serve(there, { ...options, listen, beyondLoopback: true }, testContext());
      expect(report).toMatchObject({ verdict: "failed", exit: 21, findings: [{ code: "LISTEN_FAILED" }] });
    }
  });
});

describe("when it is told to stop", () => {
  it("it lets a download end, takes no more, and says what it gave out", async () => {
    const release = makeRelease();
    const server = await serving(await writeBundle(release));
    const { blobSize, blob } = pathOf(release.document, release.named.pump);
    const body = ask(server.url, `/${blobName(blob)}`);
    expect((await body).body).toHaveLength(blobSize);
    const report = await server.stop();
    expect(validateServeReport(report), JSON.stringify(validateServeReport.errors)).toBe(true);
    expect(report).toMatchObject({
      verdict: "stopped",
      exit: 0,
      answers: { requests: 1, bytes: blobSize, refused: 0, broken: 0 },
      trouble: null,
      key: { from: "run" },
    });
    await expect(ask(server.url, "/health")).rejects.toThrow("ECONNREFUSED");
  });

  it("while it verifies, nothing was served", async () => {
    const report = await serve(await writeBundle(makeRelease()), options, testContext(AbortSignal.abort()));
    expect(report).toMatchObject({ verdict: "failed", exit: 130, url: null });
  });
});
