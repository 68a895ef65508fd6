/**
 * Packed with one Nix, restored and rebuilt with another: by root alone, and through a daemon by somebody without privileges.
 * Takes root, and the machines that bin/setup --debian makes.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BundleDocument, RebuildReport, RestoreReceipt } from "../../src/generated/types.js";
import { cli, RELEASE } from "../support/cli.js";
import { runMachine, SUITES, type Suite } from "../support/debian.js";
import { makeFixtures, SANDBOX_PATHS, SYSTEM } from "../support/fixtures.js";
import { documentOf } from "../support/packed.js";

const PEOPLE = ["root", "operator"] as const;
type Person = (typeof PEOPLE)[number];

const dir = mkdtempSync(join(tmpdir(), "airgap-pairs-"));
const path = (name: string) => join(dir, name);
let publicKey = "";

const NIX_CONF = `
mkdir -p /etc/nix
groupadd --system nixbld
useradd --system --no-create-home --gid nixbld --groups nixbld nixbld1
cat > /etc/nix/nix.conf <<'END'
experimental-features = nix-command flakes
substituters =
sandbox-paths = ${SANDBOX_PATHS}
END
git config --file "$dir/home/.gitconfig" safe.directory '*'
program="node ${path("nix-airgap.mjs")}"
`;

/** Who does it: `as` is put before what they run. Root has no daemon. */
const AS: Readonly<Record<Person, string>> = { root: "as=", operator: "start_daemon\nas=operator" };

interface Steps {
  exit(step: string): number;
  text(step: string): string;
  json<T>(step: string): T;
}

let machines = 0;
function run(suite: Suite, scenario: string): Steps {
  const machine = path(`machine-${machines++}`);
  mkdirSync(machine);
  const file = `${machine}.scenario`;
  writeFileSync(file, scenario);
  runMachine(suite, machine, file);
  const read = (name: string) => readFileSync(join(machine, "steps", name), "utf8");
  const steps = {
    exit: (step: string) => Number(read(`${step}.exit`)),
    text: (step: string) => `${read(`${step}.out`)}${read(`${step}.err`)}`,
    json: <T>(step: string) => JSON.parse(read(`${step}.out`)) as T,
  };
  return steps;
}

const bundleOf = (suite: Suite, person: Person) => path(`bundles/${suite}-${person}.tar`);

function pack(suite: Suite, person: Person): Steps {
  const attributes = ["default", `devShells.${SYSTEM}.default`];
  const installables = attributes
    .map((attr) => `git+file://${path("originals/acme-pump")}#${attr}`)
    .join(" ");
  const out = bundleOf(suite, person);
  return run(
    suite,
    `${NIX_CONF}
${AS[person]}
step pack $as $program pack ${installables} --tier source --key ${path("packer.sec")} --out ${out} --json
`,
  );
}

/** Where nothing of the originals is left, nor any network. */
function restoreAndRebuild(bundle: string, suite: Suite, person: Person): Steps {
  const lend = SANDBOX_PATHS.split(" ")
    .map((each) => `--sandbox-path '${each}'`)
    .join(" ");
  return run(
    suite,
    `mount -t tmpfs -o ro,size=4k originals ${path("originals")}
${NIX_CONF}
echo 'extra-trusted-public-keys = ${publicKey}' >> /etc/nix/nix.conf
${AS[person]}
step restore $as $program restore ${bundle} --public-key '${publicKey}' --out-link $dir/home/out ${lend} --json
step commands node -e '
  const { roots } = JSON.parse(require("fs").readFileSync("steps/restore.out"));
  for (const { shell } of roots.flatMap(({ commands }) => commands)) console.log(shell);
'
step ran $as sh -e steps/commands.out
step rebuild $as $program rebuild ${bundle} --public-key '${publicKey}' ${lend} --json
`,
  );
}

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error("the matrix of Nixes takes root");
  chmodSync(dir, 0o755);
  makeFixtures(path("originals"));
  const { code, stderr } = await cli(["keygen", "--name", "packer-1", "--out", dir]);
  if (code !== 0) throw new Error(stderr);
  publicKey = readFileSync(path("packer-1.pub"), "utf8").trim();
  copyFileSync(path("packer-1.sec"), path("packer.sec"));
  chmodSync(path("packer.sec"), 0o644);
  copyFileSync(RELEASE, path("nix-airgap.mjs"));
  mkdirSync(path("bundles"));
  chmodSync(path("bundles"), 0o777);
});
afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", dir]);
  rmSync(dir, { recursive: true, force: true });
});

describe.each(SUITES)("packed on %s", (from) => {
  it.each(PEOPLE)("by %s", (person) => {
    const steps = pack(from, person);
    expect(steps.exit("pack"), steps.text("pack")).toBe(0);
  });

  it("is the same, byte for byte, whoever packs", () => {
    const [first, second] = PEOPLE.map((person) => readFileSync(bundleOf(from, person)));
    expect(first!.equals(second!)).toBe(true);
  });

  describe.each(SUITES)("restored on %s", (to) => {
    it.each(PEOPLE)("by %s, and rebuilt", (person) => {
      const steps = restoreAndRebuild(bundleOf(from, "root"), to, person);
      expect(steps.exit("restore"), steps.text("restore")).toBe(0);
      const { verdict, paths } = steps.json<RestoreReceipt>("restore");
      expect([verdict, paths?.checked]).toEqual(["complete", paths?.total]);
      expect(steps.exit("ran"), steps.text("ran")).toBe(0);
      expect(steps.text("ran")).toMatch(/max-pressure = 120/);
      expect(steps.exit("rebuild"), steps.text("rebuild")).toBe(0);
      const { counts } = steps.json<RebuildReport>("rebuild");
      expect(counts?.identical).toBe(counts?.toBuild);
    });
  });
});

it("what is packed does not depend on the Nix that packs, but for how its bytes are compressed", () => {
  const facts = SUITES.map((suite) => {
    const { tools: _, totals: __, paths, ...document } = documentOf(bundleOf(suite, "root"));
    const uncompressed = paths.map(({ blob: ___, blobSize: ____, ...each }) => each);
    return { ...document, paths: uncompressed } satisfies Partial<Record<keyof BundleDocument, unknown>>;
  });
  expect(facts[1]).toEqual(facts[0]);
  expect(facts[2]).toEqual(facts[0]);
});
