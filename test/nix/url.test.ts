import { describe, expect, it } from "vitest";
import { isPrivateHost, secretInUrl, withoutPasswords } from "../../src/nix/url.js";

describe("a URL", () => {
  it.each([
    ["https://ada:pw@example.org/x", "a password in a URL"],
    ["git+https://ada:pw@example.org/x", "a password in a URL"],
    ["ssh://git:pw@example.org/x", "a password in a URL"],
    ["https://0123456789abcdef@example.org/x", "a name or token in a URL"],
    ["https://example.org/x?ref=main&private_token=abc", "a token in a URL"],
    ["https://bucket.example.org/x?X-Amz-Signature=abc&X-Amz-Date=1", "a token in a URL"],
  ])("%s tells %s", (url, what) => {
    expect(secretInUrl(url)).toBe(what);
  });

  it.each([
    "https://example.org/x",
    "https://example.org/@scope/pkg?ref=a@b",
    "ssh://git@example.org/x",
    "git+ssh://git@example.org/x?ref=main",
    "https://example.org/x?token=",
    "https://example.org/x?narHash=sha256-abc%3D&rev=0123",
    "path:/home/ada@work/x",
    "github:acme/pump",
  ])("%s tells nothing", (url) => {
    expect(secretInUrl(url)).toBeNull();
  });
});

it("takes out what stands before @ in all URLs of a text", () => {
  expect(
    withoutPasswords("unable to download 'https://ada:p%40w@example.org/x': 401; see http://b@c/ and a@b"),
  ).toBe("unable to download 'https://example.org/x': 401; see http://c/ and a@b");
  expect(withoutPasswords("https://example.org/a@b?x=c@d")).toBe("https://example.org/a@b?x=c@d");
});

describe("a host", () => {
  it.each([
    "localhost",
    "git",
    "git.corp",
    "a.b.internal",
    "10.0.0.1",
    "172.20.1.1",
    "192.168.1.1",
    "127.0.0.1",
    "[::1]",
    "[fd00::1]",
  ])("%s is for some networks only", (host) => expect(isPrivateHost(host)).toBe(true));
  it.each([
    "github.com",
    "git.example.org",
    "8.8.8.8",
    "172.15.1.1",
    "[2001:db8::1]",
    "internal.example.org",
  ])("%s is for all", (host) => expect(isPrivateHost(host)).toBe(false));
});
