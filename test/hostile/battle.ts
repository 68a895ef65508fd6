/**
 * Lets an attack loose on a packed bundle, by the real command line, in a place of its own where every file that
 * appears is seen: `verify` must say why not, `restore` must not even begin, and nothing may be written anywhere.
 */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Code } from "../../src/errors.js";
import type { RestoreReceipt, VerifyReport } from "../../src/generated/types.js";
import { generateSecretKey, parseSecretKey } from "../../src/nix/signature.js";
import { cliJson, type Outcome } from "../support/cli.js";
import { Packed } from "../support/packed.js";
import type { Attack, DirectoryAttack, Means, TarAttack } from "./attack.js";
import { type Form, Victim } from "./victim.js";

/** Larger files are sparse ones, which no one has time to read. */
const MAX_HASHED = 2 ** 27;

export interface Battlefield extends Means {
  readonly packed: Packed;
  readonly good: Victim;
}

/** The product, packed with all of its sources, and the key that signed it. */
export async function packGood(): Promise<Pick<Battlefield, "packed" | "good" | "packer">> {
  const packed = await Packed.make();
  const good = Victim.read(await packed.pack("good", ["default"], "--tier", "source"));
  const packer = parseSecretKey(readFileSync(packed.path("packer-1.sec"), "utf8").trim());
  return { packed, good, packer };
}

/** The same, and a later release of it. */
export async function makeBattlefield(): Promise<Battlefield> {
  const { packed, good, packer } = await packGood();
  const later = ["--tier", "build", "--release", "1.5.0", "--sequence", `${good.document.sequence + 1}`];
  const other = Victim.read(await packed.pack("other", ["default", "libpump"], ...later));
  return { packed, good, other, packer, stranger: generateSecretKey("packer-1", new Uint8Array(32).fill(7)) };
}

/** A test for each attack in each form that it can take. */
export function itRefuses(title: string, list: readonly (Attack | DirectoryAttack | TarAttack)[]): void {
  describe(title, () => {
    let field: Battlefield;
    beforeAll(async () => {
      field = await makeBattlefield();
    });
    afterAll(() => field.packed.remove());

    it("takes the bundle as it is, in both forms", async () => {
      for (const form of ["directory", "tar"] as const) {
        const place = new Place(field);
        const { code, json } = await place.verify(field.good.write(place.dir, form));
        expect([code, json.findings]).toEqual([0, []]);
        place.remove();
      }
    });

    const cases = list.flatMap((attack): [string, string, Form, (typeof list)[number]][] =>
      (attack.form === "both" ? (["directory", "tar"] as const) : [attack.form]).map((form) => [
        `${attack.threat}: ${attack.name}`,
        form,
        form,
        attack,
      ]),
    );
    it.each(cases)("%s (%s)", async (_, __, form, attack) => {
      const place = new Place(field);
      try {
        const bundle = place.prepare(attack, form);
        const before = treeOf(place.dir);
        const { code, json } = await place.verify(bundle);
        expect({ exit: code, codes: codesOf(json) }, JSON.stringify(json.findings, null, 1)).toEqual({
          exit: attack.exit,
          codes: attack.codes,
        });
        for (const finding of json.findings) expect(codesOfSteps().get(finding.step)).toContain(finding.code);
        if (form === "tar" || attack.form === "directory") {
          const restored = await place.restore(bundle);
          expect([restored.code, restored.json.verdict]).toEqual([attack.exit, "refused"]);
        }
        expect(treeOf(place.dir)).toEqual(before);
      } finally {
        place.remove();
      }
    });
  });
}

/** Where one attack happens: the bundle, and all that the program could write to. */
class Place {
  readonly dir: string;
  readonly #field: Battlefield;

  constructor(field: Battlefield) {
    this.#field = field;
    this.dir = mkdtempSync(field.packed.path("battle-"));
    for (const name of ["home", "tmp", "cwd"]) mkdirSync(join(this.dir, name));
  }

  prepare(attack: Attack | DirectoryAttack | TarAttack, form: Form): string {
    const victim = this.#field.good.clone();
    if (attack.form === "both") attack.change(victim, this.#field);
    const bundle = victim.write(this.dir, form);
    if (attack.form === "directory") attack.change(bundle);
    if (attack.form === "tar") writeFileSync(bundle, attack.change(readFileSync(bundle), victim));
    return bundle;
  }

  verify(bundle: string): Promise<{ code: Outcome["code"]; json: VerifyReport }> {
    return this.#run<VerifyReport>(["verify", bundle]);
  }

  restore(bundle: string): Promise<{ code: Outcome["code"]; json: RestoreReceipt }> {
    return this.#run<RestoreReceipt>(["restore", bundle, "--store", join(this.dir, "store")]);
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  #run<T>(args: readonly string[]): Promise<{ code: Outcome["code"]; json: T }> {
    const env = {
      PATH: process.env["PATH"],
      HOME: join(this.dir, "home"),
      TMPDIR: join(this.dir, "tmp"),
    };
    const { publicKey } = this.#field.packed;
    return cliJson<T>([...args, "--public-key", publicKey], { cwd: join(this.dir, "cwd"), env });
  }
}

/** What docs/format.md lets each step of verification find. */
function codesOfSteps(): Map<string, string[]> {
  const format = readFileSync(join(import.meta.dirname, "../../docs/format.md"), "utf8");
  const rows = format.matchAll(/^\| (V\d+) [^|]*\|[^|]*\|(.*)\|$/gm);
  return new Map(
    [...rows].map(([, step, codes]) => [
      step!,
      [...codes!.matchAll(/`([A-Z0-9_]+)`/g)].map(([, code]) => code!),
    ]),
  );
}

function codesOf({ findings }: VerifyReport): Code[] {
  return [...new Set(findings.map(({ code }) => code as Code))].sort();
}

/** Every file below a folder, with what it is and holds: equal exactly where nothing was touched. */
export function treeOf(dir: string): string[] {
  const lines: string[] = [];
  // Names may be any bytes.
  const waiting = [Buffer.from(dir)];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const name of readdirSync(folder, { encoding: "buffer" })) {
      const path = Buffer.concat([folder, Buffer.from("/"), name]);
      const stats = lstatSync(path);
      if (stats.isDirectory()) waiting.push(path);
      const isReadable = stats.isFile() && stats.size < MAX_HASHED;
      const hash = isReadable ? createHash("sha256").update(readFileSync(path)).digest("hex") : "";
      const { mode, size, mtimeMs, ino } = stats;
      // A temporary folder that came and went changes the time of the one above.
      const time = stats.isDirectory() ? "" : mtimeMs;
      lines.push(`${path.toString("latin1")} ${mode.toString(8)} ${size} ${time} ${ino} ${hash}`);
    }
  }
  return lines.sort();
}
