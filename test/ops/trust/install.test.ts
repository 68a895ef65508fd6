/** How the command that operators run starts the program: by a Node.js beside it, or by itself. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { writeImportKey } from "../../../src/ops/import-key.js";
import { trustInstall } from "../../../src/ops/trust/install.js";
import { packerKey, tempDir, testContext } from "../../support/bundle.js";

const dir = tempDir();
const place = { policyPath: join(dir, "policy.json"), stateDir: join(dir, "state") };
const common = { place, user: "nix-airgap", group: "operators", nixos: false };
const module = { ...testContext(), workerEntry: new URL("file:///opt/nix-airgap.mjs") };
const executable = { ...testContext(), workerEntry: { path: "/opt/nix-airgap", source: () => "" } };

beforeAll(async () => {
  mkdirSync(place.stateDir);
  await writeImportKey(place, packerKey);
});

/** The line that starts it, up to the verb. */
async function started(...about: Parameters<typeof trustInstall>): Promise<string | undefined> {
  const { text } = await trustInstall(...about);
  return /^ *(\S.*) \$verb --policy/m.exec(text)?.[1];
}

describe("trust install", () => {
  it("starts a module by the Node.js that runs, an executable by itself", async () => {
    expect(await started(common, module)).toBe(`${process.execPath} /opt/nix-airgap.mjs`);
    expect(await started(common, executable)).toBe("/opt/nix-airgap");
    expect(await started({ ...common, program: "/srv/nix-airgap" }, module)).toBe("/srv/nix-airgap");
  });

  it("on NixOS takes the system's Node.js, and no executable, which would not start there", async () => {
    expect(await started({ ...common, nixos: true }, module)).toContain("{pkgs.nodejs}/bin/node");
    const refused = trustInstall({ ...common, nixos: true }, executable);
    await expect(refused).rejects.toMatchObject({ code: "USAGE", details: { subject: "--nixos" } });
  });

  it("knows no Node.js for a module where it is an executable itself", async () => {
    const refused = trustInstall({ ...common, program: "/srv/nix-airgap.mjs" }, executable);
    await expect(refused).rejects.toMatchObject({ code: "USAGE", details: { subject: "--program" } });
  });
});
