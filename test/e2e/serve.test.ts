/**
 * serve between machines, with the real Nix: in a network namespace that has loopback alone, stock Nix substitutes from it with
 * signatures on, and restore takes its URL by the machine's own policy. And many clients at a time.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { validateServeReport } from "../../src/generated/report-validators.js";
import type {
  BundleDocument,
  ImportKeyReport,
  RestoreReceipt,
  ServeReport,
} from "../../src/generated/types.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { packerKey, tempDir, writeBundle } from "../support/bundle.js";
import { cli, RELEASE, runProgram } from "../support/cli.js";
import { loadServer } from "../support/load.js";
import { documentOf, FEATURES, Packed } from "../support/packed.js";
import { makeRelease, seal } from "../support/release.js";
import { startServe } from "../support/serve-process.js";
import { codesOf, type MadePolicy, SiteTrust } from "../support/site-trust.js";
import { strangerKey } from "../support/write-release.js";

describe("in a network namespace with loopback alone", () => {
  let packed: Packed;
  const bundles = { directory: "", tar: "" };
  let runs = 0;

  beforeAll(async () => {
    packed = await Packed.make();
    bundles.directory = await packed.pack("bundle", ["default"], "--tier", "source");
    bundles.tar = await packed.pack("bundle.tar", ["default"], "--tier", "source");
  });
  afterAll(() => packed.remove());

  const root = () =>
    documentOf(bundles.tar).roots.find(({ purpose }) => purpose === "output")!.outputs[0]!.path;

  /** ioctl SIOCSIFFLAGS with IFF_UP: iproute2 need not be there, while every Debian has perl. */
  const LOOPBACK_UP = `perl -MSocket -e 'socket(S,PF_INET,SOCK_DGRAM,0) && ioctl(S,0x8914,$lo=pack("a16s","lo",1)) or die'`;

  /** Runs a line of sh beside the server; `$URL` and `$KEY` are its. */
  async function beside(bundle: string, line: string) {
    const dir = packed.path(`run-${runs++}`);
    const script = `
      mkdir ${dir} && ${LOOPBACK_UP} || exit 125
      ${process.execPath} ${RELEASE} serve ${bundle} --public-key ${packed.publicKey} --json > ${dir}/out 2> ${dir}/err &
      server=$!
      until grep -qs trusted-public-keys ${dir}/err; do kill -0 $server || exit 125; sleep 0.05; done
      URL=http://127.0.0.1:8484 KEY=$(sed -n 's/.*trusted-public-keys = //p' ${dir}/err)
      ${line}
      code=$?
      kill -TERM $server; wait $server || exit 126
      exit $code`;
    const outcome = await runProgram([...packed.site, "/bin/sh", "-c", script], { env: packed.siteEnv });
    const said = existsSync(join(dir, "err")) ? readFileSync(join(dir, "err"), "utf8") : "";
    expect([125, 126], `${outcome.stderr}${said}`).not.toContain(outcome.code);
    const report = JSON.parse(readFileSync(join(dir, "out"), "utf8")) as ServeReport;
    expect(validateServeReport(report), JSON.stringify(validateServeReport.errors)).toBe(true);
    expect(report).toMatchObject({ verdict: "stopped", exit: 0, answers: { broken: 0 } });
    return { ...outcome, report };
  }

  const nixCopy = (store: string, key: string) =>
    `nix ${FEATURES[0]} '${FEATURES[1]}' copy --from $URL --to ${store} --option trusted-public-keys ${key} ${root()}`;
  const realise = (store: string, key: string) =>
    `nix-store --store ${store} --realise ${root()} --option substituters $URL --option trusted-public-keys ${key}` +
    ` --option require-sigs true --option build-users-group ''`;

  it.each([
    ["nix copy", "tar", nixCopy],
    ["substitution", "directory", realise],
  ] as const)("stock Nix takes a root and all that it needs: %s, from a %s", async (_, form, command) => {
    const store = packed.path(`store-${form}`);
    const { code, stderr, report } = await beside(bundles[form], command(store, '"$KEY"'));
    expect(code, stderr).toBe(0);
    expect(await packed.valid(store)).toContain(root());
    expect(report.answers.bytes).toBeGreaterThan(0);
  });

  it.each([
    ["nix copy", "directory", nixCopy],
    ["substitution", "tar", realise],
  ] as const)("stock Nix takes nothing by another key: %s, from a %s", async (_, form, command) => {
    const store = packed.path(`store-other-${form}`);
    const other = formatPublicKey(strangerKey.publicKey);
    const { code, stderr } = await beside(bundles[form], command(store, other));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/signature|not signed/);
    expect(existsSync(join(store, root()))).toBe(false);
  });

  it("restore takes its URL, with a receipt that says where it came from", async () => {
    const store = packed.path("store-restored");
    const receipt = packed.path("receipt.json");
    const program = `${process.execPath} ${RELEASE}`;
    const { code, stderr } = await beside(
      bundles.tar,
      `${program} restore $URL --public-key ${packed.publicKey} --store ${store} --receipt ${receipt} > ${packed.path("restored")}`,
    );
    expect(code, stderr).toBe(0);
    const { paths } = documentOf(bundles.tar);
    expect(await packed.valid(store)).toEqual(paths.map(({ storePath }) => storePath));
    expect(JSON.parse(readFileSync(receipt, "utf8"))).toMatchObject({
      verdict: "complete",
      bundle: { path: "http://127.0.0.1:8484/" },
      paths: { imported: paths.length, checked: paths.length },
    });
  });
});

describe("on a site with a policy", () => {
  let trust: SiteTrust;
  let policy: MadePolicy;
  beforeAll(async () => {
    trust = await SiteTrust.make();
    policy = await trust.policyFor({ people: trust.people(), required: ["packer=1"] });
  });
  afterAll(() => trust.remove());

  it("it signs by the site's key, is remembered and recorded; the next machine goes by a policy of its own", async () => {
    const [first, second] = [await trust.site(policy), await trust.site(policy)];
    const { json } = await first.ask<ImportKeyReport>(["trust", "import-key", "init"]);
    const bundle = await trust.release("tar", { ...importable(), sequence: 17 });
    const server = await startServe([bundle, ...first.place]);
    expect(server.publicKey).toBe(json.publicKey);
    const { code, json: receipt } = await second.restore(server.url);
    expect([code, receipt.verdict, receipt.bundle?.path]).toEqual([0, "complete", server.url]);
    const stopped = await server.stop();
    expect([stopped.code, stopped.json.key?.from]).toEqual([0, "site"]);

    const log = (await first.log()).filter(({ event }) => event === "serve");
    expect(log.map(({ verdict, exit }) => [verdict, exit])).toEqual([
      ["begun", 0],
      ["stopped", 0],
    ]);
    expect(log[1]).toMatchObject({
      bundle: { sequence: 17, sha256: receipt.bundle?.sha256 },
      details: {
        publicKey: json.publicKey,
        url: server.url,
        answers: expect.stringMatching(/^\d+ requests/),
      },
    });
    expect((await second.log()).map(({ event, verdict }) => `${event} ${verdict}`)).toContain(
      "restore complete",
    );

    const older = await trust.release("directory", { ...importable(), sequence: 16 });
    const refused = await first.ask<ServeReport>(["serve", older, "--listen", "127.0.0.1:0"]);
    expect([refused.code, codesOf(refused.json)]).toEqual([12, ["ROLLBACK"]]);
    expect((await first.log()).at(-1)).toMatchObject({ event: "serve", verdict: "refused", exit: 12 });
    const given = ["--key", trust.key("ada.sec"), "--listen", "127.0.0.1:0"];
    expect((await first.ask(["serve", bundle, ...given])).code).toBe(2);

    // Elsewhere nobody remembers 17: there 16 is served, and the second machine takes no step back.
    const server16 = await startServe([older, ...(await trust.site(policy)).place]);
    const before = second.state;
    const back = await second.ask<RestoreReceipt>(["restore", server16.url, "--store", second.storeDir]);
    expect([back.code, back.json.verdict, codesOf(back.json)]).toEqual([12, "refused", ["ROLLBACK"]]);
    expect(second.state.products).toEqual(before.products);
    const { json: report } = await server16.stop("SIGINT");
    // files.json, bundle.json, an approval.
    expect([report.exit, report.answers.requests]).toEqual([0, 3]);

    const gone = await second.restore(server16.url);
    expect([gone.code, gone.json.verdict, codesOf(gone.json)]).toEqual([
      21,
      "failed",
      ["SERVER_UNREACHABLE"],
    ]);
    const last = (await second.log()).at(-1);
    expect(last).toMatchObject({ event: "restore", exit: 21, details: { findings: "SERVER_UNREACHABLE" } });
  });
});

/** Of the release made by hand, what every Nix imports: from 2.26 on a content-addressed path that refers to itself is hashed otherwise. */
function importable(): Pick<BundleDocument, "paths" | "totals"> {
  const { document, named } = makeRelease();
  document.paths = document.paths.filter(({ storePath }) => storePath !== named.selfish);
  seal(document);
  const { paths, totals } = document;
  return { paths, totals };
}

describe("the command line", () => {
  it("refuses to be reached by others, by a name, or without a key to trust", async () => {
    const bundle = await writeBundle(makeRelease());
    const key = ["--public-key", formatPublicKey(packerKey.publicKey)];
    const open = await cli(["serve", bundle, ...key, "--listen", "0.0.0.0:0"]);
    expect([open.code, open.stderr]).toEqual([2, expect.stringContaining("--beyond-loopback")]);
    expect((await cli(["serve", bundle, ...key, "--listen", "localhost"])).code).toBe(2);
    const sign = await cli(["sign", "http://127.0.0.1:1/", "--role", "qa", "--meaning", "x", "--key", "k"]);
    expect([sign.code, sign.stderr]).toEqual([2, expect.stringContaining("Sign where the bundle lies")]);
    expect((await cli(["verify", "http://127.0.0.1:1/", ...key])).code).toBe(21);
  });
});

it("200 clients at a time get what they ask for, in bounded memory", async () => {
  const release = makeRelease();
  const bundle = await writeBundle(release);
  const key = formatPublicKey(packerKey.publicKey);
  const accessLog = join(tempDir(), "access.jsonl");
  writeFileSync(accessLog, "");
  const server = await startServe([bundle, "--public-key", key, "--access-log", accessLog]);
  const wanted = release.document.paths.flatMap(({ blob, storePath }) => [
    { path: `/blobs/sha256/${blob}`, sha256: blob },
    { path: `/${storePath.slice(11, 43)}.narinfo`, sha256: null },
  ]);
  const load = await loadServer(server.url, wanted, { clients: 200, seconds: 3 });
  expect(load.errors).toEqual([]);
  expect(load.requests).toBeGreaterThan(200);
  expect(server.peak() / 1024).toBeLessThan(200);
  const { code, json } = await server.stop();
  expect([code, json.answers]).toMatchObject([0, { requests: load.requests, bytes: load.bytes, broken: 0 }]);
  expect(readFileSync(accessLog, "utf8").split("\n")).toHaveLength(load.requests + 1);
});
