import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { linkNames, mainProgram, shellCommand, siteCommands } from "../../src/bundle/site-commands.js";
import type { Root } from "../../src/generated/types.js";
import { sampleDocument } from "../support/document.js";

const settings = { storeUri: "/srv/store", sandboxPaths: ["/bin", "/usr"], options: {} };
const root = (more: Partial<Root>): Root => ({ ...sampleDocument().roots[0]!, ...more });

describe("siteCommands", () => {
  it("enters a shell with the lent paths, and runs what has a program", () => {
    const document = { ...sampleDocument(), tier: "build" as const };
    const shell = root({ attr: "devShells.x86_64-linux.default" });
    const commands = siteCommands(document, shell, settings, "tool");
    expect(commands.map(({ purpose }) => purpose)).toEqual(["build", "run", "enter"]);
    expect(commands[2]?.argv).toEqual(expect.arrayContaining(["develop", "sandbox-paths", "/bin /usr"]));
    expect(commands[0]?.argv).not.toContain("sandbox-paths");
    expect(siteCommands({ ...document, tier: "runtime" }, shell, settings, null)).toHaveLength(1);
  });

  it("escapes an attribute as Nix unescapes it", () => {
    const odd = root({ attr: 'packages.x86_64-linux."a b#c"' });
    const { argv } = siteCommands(sampleDocument(), odd, settings, null)[0]!;
    expect(argv.at(-1)).toMatch(/#packages\.x86_64-linux\.%22a%20b%23c%22$/);
  });
});

it("a shell takes a quoted command apart into the same words", () => {
  const words = ["printf", "%s\\n", "", "it's", "a b", '$HOME `x` "q" \\', "path:/x?a=b&c=%3D#d", "é\n"];
  const plain = execFileSync(words[0]!, words.slice(1), { encoding: "utf8" });
  expect(execFileSync("sh", ["-c", shellCommand(words)], { encoding: "utf8" })).toBe(plain);
});

describe("linkNames", () => {
  const output = (name: string) => ({ name, path: `/nix/store/${"1".repeat(32)}-${name}` });
  it.each([
    ["packages.x86_64-linux.default", ["default", "default-dev"]],
    ["legacyPackages.x86_64-linux.pkgs.hello", ["pkgs-hello", "pkgs-hello-dev"]],
    ["devShells.x86_64-linux.default", ["devShells-default", "devShells-default-dev"]],
    ['packages.x86_64-linux."../../etc"', ["etc", "etc-dev"]],
    ['packages.x86_64-linux."日本"', ["root", "root-dev"]],
  ])("%s gives %s", (attr, names) => {
    const both = root({ attr, outputs: [output("dev"), output("out")] });
    expect([...linkNames(both, new Set()).values()].sort()).toEqual([...names].sort());
  });

  it("are never the same for two outputs", () => {
    const taken = new Set<string>();
    const one = root({ attr: "packages.x86_64-linux.a", outputs: [output("out")] });
    const two = root({ attr: 'packages.x86_64-linux."a"', outputs: [output("out")] });
    expect([one, two].flatMap((each) => [...linkNames(each, taken).values()])).toEqual(["a", "a-2"]);
  });
});

it("the main program is that of the attribute, else of the package, else the first", () => {
  const pump = root({
    attr: "packages.x86_64-linux.default",
    drvPath: `/nix/store/${"1".repeat(32)}-acme-pump-1.4.drv`,
  });
  expect(mainProgram(pump, ["zzz", "acme-pump", "aaa"])).toBe("acme-pump");
  expect(mainProgram(pump, ["zzz", "aaa"])).toBe("aaa");
  expect(mainProgram(pump, [])).toBeNull();
});
