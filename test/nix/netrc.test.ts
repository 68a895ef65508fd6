import { expect, it } from "vitest";
import { parseNetrcHosts } from "../../src/nix/netrc.js";

it("knows the hosts of a netrc file, on one line or many, whatever their names and passwords look like", () => {
  const has = parseNetrcHosts(
    "machine git.Example.org login machine password default\nmachine b.example.org\n  login x\n  password y\n",
  );
  expect(["git.example.org", "GIT.example.org", "b.example.org"].map(has)).toEqual([true, true, true]);
  expect(["password", "default", "x", "example.org"].map(has)).toEqual([false, false, false, false]);
});

it("takes a default entry for all hosts, and an empty file for none", () => {
  expect(parseNetrcHosts("default login x password y")("any.example.org")).toBe(true);
  expect(parseNetrcHosts("")("any.example.org")).toBe(false);
});
