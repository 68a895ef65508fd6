import { describe, expect, it } from "vitest";
import { parseSettings } from "../../../src/host/nix/settings.js";

const NONE = {
  requireSigs: null,
  trustedPublicKeys: null,
  secretKeyFiles: null,
  trustedUsers: null,
  allowedUsers: null,
  sandbox: null,
  sandboxFallback: null,
  sandboxPaths: null,
  system: null,
  extraPlatforms: null,
  substitute: null,
  substituters: null,
};

describe("Nix's settings", () => {
  it("are read from their values", () => {
    const text = JSON.stringify({
      "require-sigs": { value: false, defaultValue: true },
      "trusted-users": { value: ["root", "@wheel"] },
      "sandbox-paths": { value: ["/bin/sh=/usr/bin/dash", "/usr"] },
      system: { value: "x86_64-linux" },
      "extra-platforms": { value: ["i686-linux"] },
      sandbox: { value: "relaxed" },
      "sandbox-fallback": { value: true },
      substituters: { value: [] },
    });
    expect(parseSettings(text)).toEqual({
      ...NONE,
      requireSigs: false,
      trustedUsers: ["root", "@wheel"],
      sandbox: "relaxed",
      sandboxFallback: true,
      sandboxPaths: ["/bin/sh=/usr/bin/dash", "/usr"],
      system: "x86_64-linux",
      extraPlatforms: ["i686-linux"],
      substituters: [],
    });
  });

  it("have the sandbox's paths in the form of 2.34, too", () => {
    const value = {
      "/usr": { source: "/usr", optional: false },
      "/bin/sh": { source: "/usr/bin/bash-static", optional: false },
    };
    expect(parseSettings(JSON.stringify({ "sandbox-paths": { value } })).sandboxPaths).toEqual([
      "/bin/sh=/usr/bin/bash-static",
      "/usr",
    ]);
  });

  it("are null where they are missing, or of another kind", () => {
    expect(parseSettings("{}")).toEqual(NONE);
    const text = JSON.stringify({
      "require-sigs": { value: "true" },
      "trusted-users": { value: "root" },
      "allowed-users": { value: ["*", 1] },
      "sandbox-paths": { value: "/usr" },
      system: { value: 1 },
      "extra-platforms": { value: "x" },
      sandbox: { value: "maybe" },
      substitute: true,
      substituters: null,
    });
    expect(parseSettings(text)).toEqual(NONE);
  });

  it.each(["", "[]", "null", "sandbox = true"])("are not %j", (text) => {
    expect(() => parseSettings(text)).toThrow(expect.objectContaining({ code: "NIX_FAILED" }));
  });
});
