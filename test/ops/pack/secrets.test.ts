import { describe, expect, it } from "vitest";
import { parseFlakeLock, resolveFlakeLock } from "../../../src/nix/flake-lock.js";
import { isPublic, secretsInLock, secretsInSources } from "../../../src/ops/pack/secrets.js";
import { makeRelease } from "../../support/release.js";

/** The one input of a lock. */
function inputOf(locked: Record<string, string>, original: Record<string, string> = locked) {
  const narHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  const lock = {
    nodes: { lib: { locked: { ...locked, narHash }, original }, root: { inputs: { lib: "lib" } } },
    root: "root",
    version: 7,
  };
  return resolveFlakeLock(parseFlakeLock(Buffer.from(JSON.stringify(lock))));
}

const rev = "0".repeat(40);
const github = { type: "github", owner: "acme", repo: "pump", rev };

describe("an input", () => {
  it.each([
    [github, true],
    [{ ...github, host: "git.example.org" }, true],
    [{ ...github, host: "git.corp" }, false],
    [{ type: "tarball", url: "https://example.org/x.tar.gz" }, true],
    [{ type: "tarball", url: "https://protected.example.org/x.tar.gz" }, false],
    [{ type: "tarball", url: "https://ada:pw@example.org/x.tar.gz" }, false],
    [{ type: "tarball", url: "http://10.0.0.1/x.tar.gz" }, false],
    [{ type: "tarball", url: "file:///srv/x.tar.gz" }, false],
    [{ type: "git", url: "https://example.org/x.git", rev }, true],
    [{ type: "git", url: "ssh://git@example.org/x.git", rev }, false],
    [{ type: "git", url: "file:///srv/x.git", rev }, false],
    [{ type: "path", path: "/srv/x" }, false],
  ])("%j is public: %s", (locked, expected) => {
    const [input] = inputOf(locked);
    expect(isPublic(input!, (host) => host === "protected.example.org")).toBe(expected);
  });
});

describe("a lock with a password", () => {
  const lock = inputOf(
    { type: "git", url: "https://example.org/x.git", rev },
    { type: "git", url: "https://ada:pw@example.org/x.git" },
  );

  it("is named by its input, and never repeats it", () => {
    expect(secretsInLock(lock, [])).toEqual({
      findings: [
        { code: "SECRET_FOUND", subject: "flake.lock:lib", actual: "looks like a password in a URL" },
      ],
      allowed: 0,
      inPublic: 0,
    });
  });

  it("may be allowed by name", () => {
    expect(secretsInLock(lock, ["flake.lock:lib"])).toEqual({ findings: [], allowed: 1, inPublic: 0 });
  });
});

it("a derivation that fetches by a URL with a token is named", () => {
  const { derivations, named } = makeRelease();
  const payload = derivations.get(named.payloadDrv)!;
  const env = new Map([
    ...payload.env,
    ["urls", "https://a.example.org/x https://b.example.org/x?access_token=abc"],
  ]);
  const { findings } = secretsInSources([[named.payloadDrv, { ...payload, env }], ...derivations], []);
  expect(findings.map(({ subject, actual }) => [subject, actual])).toEqual([
    [named.payloadDrv, "looks like a token in a URL"],
  ]);
});
