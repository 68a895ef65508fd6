/** The package that `npm pack` makes: installed where nothing else is, run, imported and type-checked. */
import { execFile } from "node:child_process";
import { chmod, cp, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };

let folder: string;
let tarball: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "nix-airgap-package-"));
  // Without scripts: bin/test has built already, and a build under the feet of other tests would break them.
  await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], root);
  tarball = `nix-airgap-${version}.tgz`;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the package", () => {
  it("holds what its package.json promises", async () => {
    const packed = await readFile(join(folder, tarball));
    const { messages, pkg } = await publint({
      strict: true,
      pack: { tarball: packed.buffer.slice(packed.byteOffset, packed.byteOffset + packed.byteLength) },
    });
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
  });

  it("holds no sources, tests, fixtures or release", async () => {
    const names = (await run("tar", ["-tzf", tarball], folder)).trim().split("\n");
    expect(names).toEqual(
      expect.arrayContaining(
        ["README.md", "LICENSE", "CHANGELOG.md", "docs/format.md"].map((n) => `package/${n}`),
      ),
    );
    expect(names.filter((n) => !/^package\/(dist\/(?!release)|schemas\/|docs\/|[^/]+$)/.test(n))).toEqual([]);
  });

  describe("installed", () => {
    beforeAll(async () => {
      await writeLock();
      await run("npm", ["ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"], folder);
    });

    it("has an executable", async () => {
      expect(await run(join(folder, "node_modules/.bin/nix-airgap"), ["--version"], folder)).toBe(
        `${version}\n`,
      );
    });

    it("has a library, Nix's formats included", async () => {
      const script = `
        const [library, nix] = await Promise.all([import("nix-airgap"), import("nix-airgap/nix")]);
        console.log(Object.keys(library).length > 0, typeof nix.parseNarInfo);`;
      expect(await run("node", ["--input-type=module", "-e", script], folder)).toBe("true function\n");
    });

    it("has types", async () => {
      await writeFile(
        join(folder, "consumer.ts"),
        `import * as library from "nix-airgap";
         import { parseNarInfo } from "nix-airgap/nix";
         export const names: string[] = Object.keys(library);
         export type Narinfo = ReturnType<typeof parseNarInfo>;
         // @ts-expect-error: not everything is any
         export const wrong: number = parseNarInfo;\n`,
      );
      const types = join(root, "node_modules/@types");
      const options = [
        "--noEmit",
        "--strict",
        "--module",
        "nodenext",
        "--types",
        "node",
        "--typeRoots",
        types,
      ];
      expect(
        await run("node", [join(root, "node_modules/typescript/bin/tsc"), ...options, "consumer.ts"], folder),
      ).toBe("");
    });
  });
});

describe("the release", () => {
  it("runs alone", async () => {
    const alone = await mkdtemp(join(tmpdir(), "nix-airgap-release-"));
    try {
      const file = join(alone, "nix-airgap.mjs");
      await cp(join(root, "dist/release/nix-airgap.mjs"), file);
      expect(await run(file, ["--version"], alone)).toBe(`${version}\n`);
    } finally {
      await rm(alone, { recursive: true });
    }
  });

  it("is executable, has the sum beside it, and names the licences of what it holds", async () => {
    const release = join(root, "dist/release");
    expect((await stat(join(release, "nix-airgap.mjs"))).mode & 0o777).toBe(0o755);
    expect(await run("sha256sum", ["-c", "SHA256SUMS"], release)).toMatch(/^nix-airgap\.mjs: OK\n/);
    const text = await readFile(join(release, "nix-airgap.mjs"), "utf8");
    const { dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    for (const [name, pinned] of Object.entries(dependencies))
      expect(text).toContain(`\n${name} ${pinned}\n`);
  });

  it("has the same bytes each time", async () => {
    const again = join(folder, "again");
    await run("node", ["scripts/release.mjs", "--module-only", "--out", again], root);
    expect(await run("sha256sum", ["-c", "SHA256SUMS"], again)).toBe("nix-airgap.mjs: OK\n");
    const file = "nix-airgap.mjs";
    expect(await readFile(join(again, file))).toEqual(await readFile(join(root, "dist/release", file)));
  });
});

it("bin/nix-airgap runs from any folder and through a symlink", async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), "nix-airgap-elsewhere-"));
  try {
    await run("ln", ["-s", join(root, "bin/nix-airgap"), "na"], elsewhere);
    expect(await run(join(elsewhere, "na"), ["--version"], "/")).toBe(`${version}\n`);
  } finally {
    await rm(elsewhere, { recursive: true });
  }
});

it("bin/nix-airgap says what to do in a checkout that is not built", async () => {
  const checkout = await mkdtemp(join(tmpdir(), "nix-airgap-unbuilt-"));
  try {
    await cp(join(root, "bin"), join(checkout, "bin"), { recursive: true });
    await chmod(join(checkout, "bin/nix-airgap"), 0o755);
    await expect(run(join(checkout, "bin/nix-airgap"), [], checkout)).rejects.toMatchObject({
      code: 2,
      stderr: "nix-airgap: this checkout is not built yet: run bin/setup in it first\n",
    });
  } finally {
    await rm(checkout, { recursive: true });
  }
});

/**
 * A consumer's package.json and lock. The lock pins what ours pins, so that npm takes it all from the cache that
 * the set-up filled, and asks no network.
 */
async function writeLock(): Promise<void> {
  const manifest = { name: "consumer", version: "1.0.0", dependencies: { "nix-airgap": `file:${tarball}` } };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  const ours = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; dependencies?: object; bin?: object; engines?: object }>;
  };
  const packages = Object.entries(ours.packages).filter(([path, entry]) => path !== "" && entry.dev !== true);
  const self = ours.packages[""]!;
  await writeFile(
    join(folder, "package-lock.json"),
    JSON.stringify({
      name: "consumer",
      version: "1.0.0",
      lockfileVersion: 3,
      requires: true,
      packages: {
        "": manifest,
        "node_modules/nix-airgap": {
          version,
          resolved: `file:${tarball}`,
          license: "Apache-2.0",
          dependencies: self.dependencies,
          bin: self.bin,
          engines: self.engines,
        },
        ...Object.fromEntries(packages),
      },
    }),
  );
}

async function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, encoding: "utf8" });
  return stdout;
}
