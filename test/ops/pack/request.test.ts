import { describe, expect, it } from "vitest";
import {
  chooseIdentity,
  chooseOut,
  chooseSystems,
  parseInstallables,
  parseProjectFile,
} from "../../../src/ops/pack/request.js";

const code = (expected: string) => expect.objectContaining({ code: expected });

describe("installables", () => {
  it.each([
    [[], { ref: ".", attrs: [] }],
    [["."], { ref: ".", attrs: [] }],
    [["#lib"], { ref: ".", attrs: ["lib"] }],
    [[".#a", ".#b", ".#a"], { ref: ".", attrs: ["a", "b"] }],
    [["github:o/r?rev=1#x.y"], { ref: "github:o/r?rev=1", attrs: ["x.y"] }],
    [["/flakes/a?dir=nested#x"], { ref: "/flakes/a/nested", attrs: ["x"] }],
    [["./a?dir=nested"], { ref: "./a/nested", attrs: [] }],
    [["git+file:///a?dir=nested"], { ref: "git+file:///a?dir=nested", attrs: [] }],
    [['.#packages.x."we.ird"'], { ref: ".", attrs: ['packages.x."we.ird"'] }],
  ])("%j", (installables, expected) => {
    expect(parseInstallables(installables)).toEqual(expected);
  });

  it("have their fragment decoded once, as Nix does", () => {
    expect(parseInstallables([".#sp%20ace"]).attrs).toEqual(["sp ace"]);
    expect(() => parseInstallables([".#100%"])).toThrow(code("USAGE"));
  });

  it("are refused when they belong to two flakes", () => {
    expect(() => parseInstallables(["./a#x", "./b#x"])).toThrow(code("USAGE"));
  });
});

describe("systems", () => {
  it("are those asked for, else the project's, else this machine's; sorted, each once", () => {
    const project = { systems: ["b-linux", "a-linux"] };
    expect(chooseSystems(["z-linux", "y-linux", "z-linux"], project, "own")).toEqual(["y-linux", "z-linux"]);
    expect(chooseSystems(undefined, project, "own")).toEqual(["a-linux", "b-linux"]);
    expect(chooseSystems(undefined, {}, "own")).toEqual(["own"]);
    expect(() => chooseSystems(['a"b'], {}, "own")).toThrow(code("USAGE"));
  });
});

describe("nix-airgap.json", () => {
  const parse = (text: string) => parseProjectFile(Buffer.from(text));

  it("may be empty, and may hold all there is", () => {
    expect(parse("{}")).toEqual({});
    const all = {
      product: "pump",
      release: "1.0",
      roots: ["default"],
      systems: ["x86_64-linux", "aarch64-linux"],
      tier: "source",
      knownIrreproducible: [{ derivation: "fw-1", reason: "time stamp" }],
    };
    expect(parse(JSON.stringify(all))).toEqual(all);
  });

  it.each([
    '{"product":"Pump"}',
    '{"tier":"full"}',
    '{"unknown":1}',
    '{"product":"a","product":"b"}',
    "[]",
    "",
  ])("refuses %s", (text) => {
    expect(() => parse(text)).toThrow(code("PROJECT_FILE"));
  });
});

describe("product and release", () => {
  const flake = {
    folder: "/src/Acme Pump.git",
    tags: ["V2", "v1.4.0"],
    rev: "0123456789abcdef0123456789abcdef01234567",
  };

  it("come from options, then the project file, then the flake", () => {
    expect(chooseIdentity({}, {}, flake).identity).toEqual({ product: "acme-pump", release: "v1.4.0" });
    expect(chooseIdentity({}, {}, { ...flake, tags: [] }).identity.release).toBe("0123456");
    expect(chooseIdentity({}, { product: "p", release: "2" }, flake).identity).toEqual({
      product: "p",
      release: "2",
    });
    expect(chooseIdentity({ product: "q", release: "3" }, { product: "p" }, flake).identity).toEqual({
      product: "q",
      release: "3",
    });
  });

  it("are asked for, both at once, when there is nothing to take them from", () => {
    const { findings } = chooseIdentity({ product: "Not OK" }, {}, { folder: "", tags: [], rev: null });
    expect(findings.map(({ subject }) => subject)).toEqual(["--product", "--release"]);
  });
});

it("the output is named by product, release, systems and tier, and is a tar by its ending", () => {
  const name = { product: "p", release: "1", systems: ["x86_64-linux"], tier: "build" } as const;
  expect(chooseOut({}, "/w", name)).toEqual({ path: "/w/p-1-x86_64-linux-build.tar", form: "tar" });
  expect(chooseOut({ out: "d" }, "/w", name)).toEqual({ path: "/w/d", form: "directory" });
  const cut = { tarName: "p-1-x86_64-linux-build.tar", partSize: 100 };
  expect(chooseOut({ split: 100 }, "/w", name)).toEqual({
    path: "/w/p-1-x86_64-linux-build.parts",
    form: "parts",
    cut,
  });
  expect(chooseOut({ split: 100, out: "d" }, "/w", name)).toEqual({ path: "/w/d", form: "parts", cut });
  expect(() => chooseOut({ split: 100, out: "d.tar" }, "/w", name)).toThrow(
    expect.objectContaining({ code: "USAGE" }),
  );
});
