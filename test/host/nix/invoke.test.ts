/** Nixes that do not end as they should: by the real one. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findNix, invokeNix, type NixContext } from "../../../src/host/nix/invoke.js";
import { RELEASE } from "../../support/cli.js";
import { nixEnvironment } from "../../support/fixtures.js";
import { atTerminal } from "../../support/terminal.js";

const dir = mkdtempSync(join(tmpdir(), "airgap-invoke-"));
const env = nixEnvironment(dir) as Record<string, string>;
const signal = new AbortController().signal;
const PATH = "/nix/store/00000000000000000000000000000000-nothing";

async function context(more: Partial<NixContext> = {}): Promise<NixContext> {
  const binDir = await findNix(process.env["PATH"]);
  return { binDir, env, options: {}, cwd: dir, signal, report: () => {}, ...more };
}

/** The process on whose command line this word is. */
function processWith(word: string): number {
  const isIt = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(word);
    } catch {
      return false;
    }
  };
  return Number(readdirSync("/proc").find((name) => /^\d+$/.test(name) && isIt(name)));
}

const servers: Server[] = [];
async function listen(server: Server): Promise<string> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

afterAll(() => {
  for (const server of servers) server.close();
  rmSync(dir, { recursive: true, force: true });
});

describe("a Nix that hangs", () => {
  it("is ended, with what was being done and what it waits for", async () => {
    // Takes every connection, and says nothing.
    const cache = await listen(createServer(() => {}));
    const nix = await context({ silenceMs: 1500 });
    const running = invokeNix(nix, "nix", ["copy", "--from", cache, "--to", join(dir, "store"), PATH]);
    await expect(running).rejects.toMatchObject({
      code: "NIX_FAILED",
      details: {
        subject: "nix copy",
        expected: "a sign of life within 1.5 seconds",
        hint: expect.stringMatching(/It hangs/),
      },
    });
  });
});

describe("a Nix that is killed", () => {
  it("is no answer to what was asked, and the signal is named", async () => {
    let cache = "";
    cache = await listen(createServer(() => void process.kill(processWith(cache), "SIGKILL")));
    const running = invokeNix(await context(), "nix", ["copy", "--from", cache, PATH]);
    await expect(running).rejects.toMatchObject({
      code: "NIX_FAILED",
      details: { subject: "nix copy", actual: expect.stringMatching(/killed by SIGKILL/) },
    });
  });
});

describe("a Nix that wants to ask", () => {
  let url: string;
  beforeAll(async () => {
    const server = createHttpServer((_, answer) => {
      answer.writeHead(401, { "WWW-Authenticate": 'Basic realm="git"' }).end();
    });
    url = await listen(server);
  });

  it("is not heard: pack ends at once, and says what it wanted", async () => {
    writeFileSync(join(dir, "flake.nix"), "{ outputs = _: {}; }");
    const argv = [process.execPath, RELEASE, "pack", `git+${url}/repository?ref=main`];
    const { code, screen } = await atTerminal(argv, [], { cwd: dir, env });
    expect(code).toBe(2);
    expect(screen).toContain("FLAKE_UNREADABLE");
    expect(screen).toMatch(/> .*could not read Username/);
  });
});
