import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  type FoundOutput,
  linkNames,
  mainProgram,
  shellCommand,
  siteCommands,
} from "../../src/bundle/site-commands.js";
import type { Root, SiteCommand } from "../../src/generated/types.js";
import { sampleDocument } from "../support/document.js";

const settings = { storeUri: "/srv/store", sandboxPaths: ["/bin", "/usr"], options: {} };
const root = (more: Partial<Root>): Root => ({ ...sampleDocument().roots[0]!, ...more });

const nothing: FoundOutput = { place: "/srv/pump", isInPlace: true, program: null, image: null };

describe("siteCommands", () => {
  it("enters a shell with the lent paths, and runs what has a program", () => {
    const document = { ...sampleDocument(), tier: "build" as const };
    const shell = root({ attr: "devShells.x86_64-linux.default" });
    const commands = siteCommands(document, shell, settings, {
      ...nothing,
      isInPlace: false,
      program: "tool",
    });
    expect(commands.map(({ purpose }) => purpose)).toEqual(["build", "run", "enter"]);
    expect(commands[2]?.argv).toEqual(expect.arrayContaining(["develop", "sandbox-paths", "/bin /usr"]));
    expect(commands[0]?.argv).not.toContain("sandbox-paths");
    expect(siteCommands({ ...document, tier: "runtime" }, shell, settings, nothing)).toHaveLength(1);
  });

  const found = (more: Partial<FoundOutput>) =>
    siteCommands(sampleDocument(), root({ attr: "packages.x86_64-linux.a" }), settings, {
      ...nothing,
      ...more,
    });
  const of = (purpose: SiteCommand["purpose"], more: Partial<FoundOutput>) =>
    found(more)
      .filter((command) => command.purpose === purpose)
      .map(({ shell }) => shell);

  it("runs a program by its path, where the store lies in its place", () => {
    expect(of("run", { program: "tool" })).toEqual(["/srv/pump/bin/tool"]);
    expect(of("run", { program: "tool", isInPlace: false })).toEqual([
      expect.stringMatching(/^nix .* shell .* --command tool$/),
    ]);
  });

  it("loads an image of each kind", () => {
    type Image = NonNullable<FoundOutput["image"]>;
    const image = (kind: Image["kind"], name: string | null = "acme/pump:1.4", isZipped = false) => ({
      image: { kind, name, isZipped },
    });
    expect(of("load", image("oci-archive"))).toEqual([
      "docker load -i /srv/pump",
      "podman load -i /srv/pump",
      "skopeo copy oci-archive:/srv/pump docker-daemon:acme/pump:1.4",
    ]);
    expect(of("load", image("docker-archive", "host:5000/pump")).at(-1)).toMatch(/host:5000\/pump:latest$/);
    expect(of("load", image("docker-archive", null, true))).toEqual([
      "docker load -i /srv/pump",
      "gunzip -c /srv/pump | podman load",
      "gunzip -c /srv/pump > image.tar && skopeo copy docker-archive:image.tar docker-daemon:image:latest",
    ]);
    expect(of("load", image("stream"))).toEqual(["/srv/pump | docker load", "/srv/pump | podman load"]);
    const diverted = { ...image("stream"), isInPlace: false };
    expect(of("load", diverted)[0]).toMatch(/^nix .* shell .* --command \/nix\/store\/\S+ \| docker load$/);
    expect(of("load", {})).toEqual([]);
  });

  it("replays the variables that the flake was evaluated with, and no search path", () => {
    const document = sampleDocument();
    document.evaluation = { ...document.evaluation, pure: false, env: [{ name: "A", value: "it's $HOME" }] };
    const { argv, shell } = siteCommands(document, document.roots[0]!, settings, nothing)[0]!;
    expect(argv.slice(0, 3)).toEqual(["env", "A=it's $HOME", "nix"]);
    expect(argv.join(" ")).toMatch(/ --impure --option nix-path {2}--no-update-lock-file /);
    expect(shell).toContain(`env 'A=it'\\''s $HOME' nix`);
    const pure = siteCommands(sampleDocument(), document.roots[0]!, settings, nothing)[0]!;
    expect(pure.argv).not.toContain("--impure");
  });

  it("takes no settings from the flake, and has nobody asked whether to", () => {
    const { argv } = siteCommands(sampleDocument(), root({}), settings, nothing)[0]!;
    expect(argv.join(" ")).toContain("--option accept-flake-config false --log-format raw");
  });

  it("runs an app, and leaves the bash of shells to Nix", () => {
    const document = { ...sampleDocument(), tier: "build" as const };
    const of = (attr: string) => siteCommands(document, root({ attr }), settings, nothing);
    expect(of("apps.x86_64-linux.default").map(({ purpose, argv }) => [purpose, argv[3]])).toEqual([
      ["run", "run"],
    ]);
    expect(of("inputs.nixpkgs.legacyPackages.x86_64-linux.bashInteractive")).toEqual([]);
  });

  it("escapes an attribute as Nix unescapes it", () => {
    const odd = root({ attr: 'packages.x86_64-linux."a b#c"' });
    const { argv } = siteCommands(sampleDocument(), odd, settings, nothing)[0]!;
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
