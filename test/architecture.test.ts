/** The import directions of the house, and which folders touch the world. Each rule is shown to bite. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cruise, type IFlattenedRuleSet } from "dependency-cruiser";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));

/** What each folder of src/ may import besides itself, src's own files (errors, events, …) and src/generated. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  cli: ["ops", "bundle", "evidence", "trust", "host", "nix"],
  ops: ["bundle", "evidence", "trust", "host", "nix"],
  bundle: ["trust", "nix"],
  evidence: ["nix"],
  trust: ["nix"],
  host: ["nix"],
  nix: [],
};
const FOLDERS = Object.keys(MAY_IMPORT);
const PURE = ["nix", "trust", "evidence"];

const rules: IFlattenedRuleSet = {
  forbidden: [
    ...FOLDERS.map((folder) => ({
      name: `${folder}-direction`,
      severity: "error" as const,
      from: { path: `^src/${folder}/` },
      to: { path: `^src/(${not(folder, ...(MAY_IMPORT[folder] ?? []))})/|^src/index\\.ts$` },
    })),
    {
      name: "shared-direction",
      severity: "error",
      from: { path: "^src/([^/]+\\.ts$|generated/)", pathNot: "^src/index\\.ts$" },
      to: { path: "^src/", pathNot: "^src/(?!index\\.)([^/]+\\.ts$|generated/)" },
    },
    {
      name: "library-prints-nothing",
      severity: "error",
      from: { path: "^src/index\\.ts$" },
      to: { path: "^src/cli/" },
    },
    {
      name: "pure",
      severity: "error",
      from: { path: `^src/(${PURE.join("|")})/` },
      to: { dependencyTypes: ["core"], pathNot: "^(node:)?(crypto|buffer)$" },
    },
    {
      name: "one-child-process",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/host/exec\\.ts$" },
      to: { path: "^(node:)?child_process$" },
    },
    {
      // But for serve, and bundles that come from one.
      name: "no-network",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/host/http-(client|server)\\.ts$" },
      to: { path: "^(node:)?(net|http|https|http2|tls|dgram|dns)$" },
    },
    { name: "no-cycle", severity: "error", from: {}, to: { circular: true } },
    { name: "resolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
};

function not(...folders: string[]): string {
  return FOLDERS.filter((folder) => !folders.includes(folder)).join("|") || "(?!)";
}

/** Broken rules as `rule: from → to`. */
async function violations(baseDir: string): Promise<string[]> {
  const { output } = await cruise(["src"], {
    baseDir,
    validate: true,
    ruleSet: rules,
    tsPreCompilationDeps: true,
    doNotFollow: "node_modules",
  });
  if (typeof output === "string") throw new Error(output);
  expect(output.summary.totalCruised).toBeGreaterThan(0);
  return output.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`).sort();
}

describe("src", () => {
  it("imports one way only", async () => {
    expect(await violations(root)).toEqual([]);
  });

  it("has no folder without a rule", async () => {
    const folders = (await readdir(join(root, "src"), { withFileTypes: true })).filter((e) =>
      e.isDirectory(),
    );
    expect([...FOLDERS, "generated"]).toEqual(expect.arrayContaining(folders.map((e) => e.name)));
  });

  it("asks nothing of the world in its pure folders", async () => {
    const world =
      /\b(process|performance|globalThis|console|fetch|setTimeout|Date\.now|Math\.random)\b|\bnew Date\(\)/;
    const asked: string[] = [];
    for (const folder of PURE) {
      for (const name of await readdir(join(root, "src", folder), { recursive: true }).catch(() => [])) {
        if (!name.endsWith(".ts")) continue;
        const code = (await readFile(join(root, "src", folder, name), "utf8")).replace(
          /\/\*[\s\S]*?\*\/|\/\/.*/g,
          "",
        );
        const found = world.exec(code.replace(/"(?:[^"\\\n]|\\.)*"/g, '""'));
        if (found) asked.push(`src/${folder}/${name}: ${found[0]}`);
      }
    }
    expect(asked).toEqual([]);
  });
});

describe("the rules", () => {
  const folders: string[] = [];
  afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

  const forbidden: readonly [violation: string, files: Readonly<Record<string, string>>][] = [
    ["cli-direction: src/cli/a.ts → src/index.ts", { "cli/a.ts": '"../index.js"', "index.ts": "" }],
    ["ops-direction: src/ops/a.ts → src/cli/b.ts", { "ops/a.ts": '"../cli/b.js"', "cli/b.ts": "" }],
    [
      "bundle-direction: src/bundle/a.ts → src/host/b.ts",
      { "bundle/a.ts": '"../host/b.js"', "host/b.ts": "" },
    ],
    [
      "evidence-direction: src/evidence/a.ts → src/bundle/b.ts",
      { "evidence/a.ts": '"../bundle/b.js"', "bundle/b.ts": "" },
    ],
    [
      "trust-direction: src/trust/a.ts → src/bundle/b.ts",
      { "trust/a.ts": '"../bundle/b.js"', "bundle/b.ts": "" },
    ],
    ["host-direction: src/host/a.ts → src/ops/b.ts", { "host/a.ts": '"../ops/b.js"', "ops/b.ts": "" }],
    ["nix-direction: src/nix/a.ts → src/trust/b.ts", { "nix/a.ts": '"../trust/b.js"', "trust/b.ts": "" }],
    ["shared-direction: src/errors.ts → src/nix/b.ts", { "errors.ts": '"./nix/b.js"', "nix/b.ts": "" }],
    ["library-prints-nothing: src/index.ts → src/cli/b.ts", { "index.ts": '"./cli/b.js"', "cli/b.ts": "" }],
    ["pure: src/nix/a.ts → fs", { "nix/a.ts": '"node:fs"' }],
    ["pure: src/trust/a.ts → fs/promises", { "trust/a.ts": '"node:fs/promises"' }],
    ["pure: src/evidence/a.ts → process", { "evidence/a.ts": '"node:process"' }],
    ["one-child-process: src/host/a.ts → child_process", { "host/a.ts": '"node:child_process"' }],
    ["no-network: src/host/a.ts → net", { "host/a.ts": '"node:net"' }],
    ["no-cycle: src/nix/a.ts → src/nix/b.ts", { "nix/a.ts": '"./b.js"', "nix/b.ts": '"./a.js"' }],
    ["resolvable: src/nix/a.ts → ./gone.js", { "nix/a.ts": '"./gone.js"' }],
  ];

  it.each(forbidden)("report %s", async (violation, files) => {
    const folder = await mkdtemp(join(tmpdir(), "nix-airgap-architecture-"));
    folders.push(folder);
    for (const [name, imported] of Object.entries(files)) {
      const path = join(folder, "src", name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(
        path,
        imported === "" ? "export const x = 1;\n" : `import ${imported};\nexport const x = 1;\n`,
      );
    }
    expect(await violations(folder)).toContain(violation);
  });

  it("let a type-only import through no more easily", async () => {
    const folder = await mkdtemp(join(tmpdir(), "nix-airgap-architecture-"));
    folders.push(folder);
    await mkdir(join(folder, "src/nix"), { recursive: true });
    await writeFile(
      join(folder, "src/nix/a.ts"),
      'import type { Stats } from "node:fs";\nexport type A = Stats;\n',
    );
    expect(await violations(folder)).toEqual(["pure: src/nix/a.ts → fs"]);
  });
});
