/** Bundles by the URL of a `serve`: as good as a directory where all is well, and worth no more than one where it is not. */
import { mkdirSync, readdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { contentsOf } from "../../src/bundle/contents.js";
import { formatDocument } from "../../src/bundle/document.js";
import { formatServedFiles } from "../../src/bundle/served-files.js";
import { formatJson } from "../../src/canonical-json.js";
import type { ServedFiles, VerifyReport } from "../../src/generated/types.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { inspect } from "../../src/ops/inspect.js";
import { serve } from "../../src/ops/serve.js";
import { type VerifyOptions, verify } from "../../src/ops/verify.js";
import { approvalsOf, packerKey, strangerKey, tempDir, testContext, writeBundle } from "../support/bundle.js";
import { makeRelease, seal } from "../support/release.js";
import { ask, type Serving, serving } from "../support/serving.js";
import { trusting } from "../support/trust.js";

const packersWord: VerifyOptions = { trust: trusting(packerKey), documentOnly: false, allowExtra: false };

/** With a folder of its own for what is fetched. */
function ownContext(signal?: AbortSignal) {
  const tmpDir = join(tempDir(), "tmp");
  mkdirSync(tmpDir);
  return { ...testContext(signal), tmpDir };
}

const sha256 = (bytes: Buffer) => formatHex(hashOf("sha256", bytes));
const pathsOf = ({ log }: Serving) => log().map(({ path }) => path);
const isHead = (path: string) => /^\/(files\.json|bundle\/(bundle\.json|approvals\/.*))$/.test(path);

describe.each(["directory", "tar"] as const)("from a server of a %s", (form) => {
  it("verify says what it says of the bundle itself", async () => {
    const bundle = await writeBundle(makeRelease(), { form });
    const server = await serving(bundle);
    const context = ownContext();
    const [there, here] = [
      await verify(server.url, packersWord, context),
      await verify(bundle, packersWord, context),
    ];
    const about = { path: server.url, kind: "directory" };
    expect(there).toEqual({ ...here, bundle: { ...here.bundle, ...about } });
    expect(there.verdict).toBe("verified");
    expect(readdirSync(context.tmpDir)).toEqual([]);
  });

  it("and another server serves it on", async () => {
    const first = await serving(await writeBundle(makeRelease(), { form }));
    const second = await serving(first.url);
    const context = ownContext();
    expect((await verify(second.url, packersWord, context)).verdict).toBe("verified");
    const report = await second.stop();
    expect(report.bundle?.path).toBe(first.url);
  });
});

describe("what is fetched", () => {
  it("of a stranger's bundle is what says so, and no more", async () => {
    const server = await serving(await writeBundle(makeRelease()));
    const options = { ...packersWord, trust: trusting(strangerKey) };
    const report = await verify(server.url, options, ownContext());
    expect(report).toMatchObject({
      verdict: "refused",
      exit: 12,
      findings: [{ code: "APPROVAL_UNTRUSTED" }],
    });
    expect(pathsOf(server).filter((path) => !isHead(path))).toEqual([]);
  });

  it("for the document alone is no NAR; sizes are still compared", async () => {
    const release = makeRelease();
    const server = await serving(await writeBundle(release));
    const report = await verify(server.url, { ...packersWord, documentOnly: true }, ownContext());
    expect(report).toMatchObject({ verdict: "document-only", exit: 0 });
    const blobs = new Set(release.document.paths.map(({ blob }) => `/bundle/blobs/sha256/${blob}`));
    expect(pathsOf(server).filter((path) => blobs.has(path))).toEqual([]);
  });

  it("has room before it comes, but for what shows whose it is", async () => {
    const { document } = makeRelease();
    Object.assign(document.paths.at(-1)!, { blobSize: 2 ** 52 });
    seal(document);
    const bytes = formatDocument(document);
    const { files } = contentsOf(document, bytes, approvalsOf(document, [packerKey]));
    const sizes = new Map(
      [...files].map(([name, file]) => [name, Buffer.isBuffer(file) ? file.length : file.size]),
    );
    const { url, asked } = await answering(async (path) => {
      if (path === "/files.json") return Buffer.from(formatServedFiles(sha256(bytes), sizes));
      const file = files.get(path.replace("/bundle/", ""));
      return Buffer.isBuffer(file) ? file : null;
    });
    const context = ownContext();
    await expect(verify(url, packersWord, context)).rejects.toMatchObject({ code: "NO_SPACE", exit: 22 });
    expect(asked.filter((path) => !isHead(path))).toEqual([]);
    expect(readdirSync(context.tmpDir)).toEqual([]);
  });

  it("to inspect is what it shows, with the sizes of all", async () => {
    const bundle = await writeBundle(makeRelease());
    const server = await serving(bundle);
    const context = ownContext();
    const [there, here] = [
      await inspect(server.url, { tree: true, sizes: true }, context),
      await inspect(bundle, { tree: true, sizes: true }, context),
    ];
    expect(there).toEqual({ ...here, medium: { ...here.medium, path: server.url } });
    expect(pathsOf(server).filter((path) => !isHead(path))).toEqual([]);
  });

  it("is told with its bytes, and what is left", async () => {
    const server = await serving(await writeBundle(makeRelease()));
    const context = ownContext();
    await verify(server.url, packersWord, context);
    const begun = context.events.flatMap((event) => (event.type === "phase.started" ? [event] : []));
    const fetch = begun.find(({ phase }) => phase === "fetch")!;
    expect(fetch).toMatchObject({ items: expect.any(Number), bytes: expect.any(Number) });
    const last = context.events.findLast(
      (event) => event.type === "phase.progress" && event.phase === "fetch",
    );
    expect(last).toMatchObject({ bytes: fetch.bytes, share: 1 });
  });
});

/** A server that passes on what the true one says, but for what it changes. */
let proxy: Server | undefined;
afterEach(() => {
  proxy?.closeAllConnections();
  proxy?.close();
});

type Change = (path: string, body: Buffer) => Buffer | null;

async function lying(change: Change): Promise<{ url: string; asked: string[] }> {
  const { url } = await serving(await writeBundle(makeRelease()));
  return answering(async (path) => change(path, (await ask(url, path)).body));
}

/** Null: by closing the connection. */
async function answering(
  give: (path: string) => Promise<Buffer | null>,
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  proxy = createServer(async (request, response) => {
    const path = request.url!;
    asked.push(path);
    const body = await give(path);
    if (body === null) request.socket.destroy();
    else response.writeHead(200, { "Content-Length": body.length }).end(body);
  });
  await new Promise<void>((resolve) => proxy!.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`, asked };
}

/** files.json, changed. */
function listing(change: (files: ServedFiles) => void): Change {
  return (path, body) => {
    if (path !== "/files.json") return body;
    const files = JSON.parse(body.toString()) as ServedFiles;
    change(files);
    files.files.sort((a, b) => (a.name < b.name ? -1 : 1));
    return Buffer.from(formatJson(files));
  };
}

const isNar = (path: string) => path.includes("/blobs/");
const firstNar = (files: ServedFiles["files"]) => files.find(({ name }) => isNar(`/${name}`))!;

describe("a server that lies", () => {
  it.each<[string, Change, string]>([
    [
      "of a file more",
      listing(({ files }) => files.push({ name: "docs/more.txt", size: 5 })),
      "SERVER_ANSWER",
    ],
    ["of a file less", listing(({ files }) => files.splice(3, 1)), "SERVER_ANSWER"],
    [
      "of another size",
      listing(({ files }) => Object.assign(firstNar(files), { size: firstNar(files).size + 1 })),
      "SERVER_ANSWER",
    ],
    [
      "of a name that leads out",
      listing(({ files }) => files.push({ name: "../evil", size: 5 })),
      "SERVER_ANSWER",
    ],
    [
      "of more than any disk holds",
      listing(({ files }) => Object.assign(firstNar(files), { size: 2 ** 52 })),
      "SERVER_ANSWER",
    ],
    [
      "of another document",
      listing((files) => Object.assign(files, { sha256: "0".repeat(64) })),
      "BLOB_HASH",
    ],
    [
      "by a listing of something else",
      (path, body) => (path === "/files.json" ? Buffer.from("{}") : body),
      "SERVER_ANSWER",
    ],
  ])("%s is refused before anything large is fetched", async (_, change, code) => {
    const { url, asked } = await lying(change);
    const context = ownContext();
    await expect(verify(url, packersWord, context)).rejects.toMatchObject({ code });
    expect(asked.filter(isNar)).toEqual([]);
    expect(readdirSync(context.tmpDir)).toEqual([]);
  });

  it("about the bytes of a blob is refused as the blob would be", async () => {
    const { url } = await lying((path, body) => (isNar(path) ? flipped(body) : body));
    const context = ownContext();
    await expect(verify(url, packersWord, context)).rejects.toMatchObject({ code: "BLOB_HASH", exit: 11 });
    expect(readdirSync(context.tmpDir)).toEqual([]);
  });

  it.each<[string, (path: string) => boolean, string[], number]>([
    ["a narinfo", (path) => path.endsWith(".narinfo"), ["DERIVED_DIFFERS"], 11],
    ["VERIFY.md", (path) => path.endsWith("VERIFY.md"), ["DERIVED_DIFFERS"], 11],
    ["an approval", (path) => path.includes("/approvals/"), ["APPROVAL_MALFORMED", "APPROVAL_MISSING"], 12],
  ])("about %s is found out by verification", async (_, isMeant, codes, exit) => {
    const { url } = await lying((path, body) => (isMeant(path) ? flipped(body) : body));
    const report: VerifyReport = await verify(url, packersWord, ownContext());
    expect(report).toMatchObject({ verdict: "refused", exit });
    expect(codes).toEqual(expect.arrayContaining([...new Set(report.findings.map(({ code }) => code))]));
  });

  it("with the document of another release, whole and signed, is a stranger's", async () => {
    const other = makeRelease();
    other.document.release = "2.0.0";
    const bundle = await writeBundle(other, { keys: [strangerKey] });
    const { url } = await serving(bundle, { trust: trusting(strangerKey) });
    expect((await verify(url, packersWord, ownContext())).exit).toBe(12);
  });
});

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}

describe("who is told to stop", () => {
  it("while it fetches leaves nothing", async () => {
    const controller = new AbortController();
    const { url } = await lying((path, body) => {
      if (isNar(path)) controller.abort();
      return body;
    });
    const context = ownContext(controller.signal);
    await expect(verify(url, packersWord, context)).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(readdirSync(context.tmpDir)).toEqual([]);
  });
});

it("a URL that names no server is no bundle", async () => {
  await expect(verify("http://user@host/", packersWord, ownContext())).rejects.toMatchObject({
    code: "USAGE",
  });
  const options = { trust: trusting(packerKey), listen: "127.0.0.1:0", beyondLoopback: false };
  const report = await serve("http://127.0.0.1:1/", options, ownContext());
  expect(report).toMatchObject({ verdict: "failed", exit: 21, findings: [{ code: "SERVER_UNREACHABLE" }] });
});
