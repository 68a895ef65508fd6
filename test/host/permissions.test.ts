import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findProgram, pathFacts } from "../../src/host/permissions.js";
import { tempDir } from "../support/bundle.js";

describe("pathFacts", () => {
  it("says what is there, whose, and with which permissions, through symlinks too", async () => {
    const dir = tempDir();
    const file = join(dir, "f");
    writeFileSync(file, "");
    chmodSync(file, 0o640);
    symlinkSync(file, join(dir, "link"));
    chmodSync(dir, 0o1777);
    const uid = process.geteuid!();
    const expected = { kind: "there", type: "file", uid, mode: 0o640 };
    expect([await pathFacts(file), await pathFacts(join(dir, "link"))]).toEqual([expected, expected]);
    expect(await pathFacts(dir)).toEqual({ kind: "there", type: "folder", uid, mode: 0o1777 });
    expect(await pathFacts("/dev/null")).toMatchObject({ kind: "there", type: "other" });
  });

  it("says that nothing is there, or that it cannot be seen", async () => {
    const dir = tempDir();
    writeFileSync(join(dir, "f"), "");
    symlinkSync("self", join(dir, "self"));
    expect(await pathFacts(join(dir, "none"))).toEqual({ kind: "missing" });
    expect(await pathFacts(join(dir, "f/below"))).toEqual({ kind: "missing" });
    expect(await pathFacts(join(dir, "self"))).toEqual({ kind: "hidden", reason: "ELOOP" });
  });
});

describe("findProgram", () => {
  it("finds the first that may be run, in absolute folders only", async () => {
    const dir = tempDir();
    for (const folder of ["a", "b"]) mkdirSync(join(dir, folder));
    writeFileSync(join(dir, "a/p"), "");
    chmodSync(join(dir, "a/p"), 0o644);
    writeFileSync(join(dir, "b/p"), "");
    chmodSync(join(dir, "b/p"), 0o755);
    expect(await findProgram("p", `.:${dir}/a:${dir}/b`)).toBe(join(dir, "b/p"));
    expect(await findProgram("p", `${dir}/a`)).toBeNull();
    expect(await findProgram("sh", "")).toBeNull();
  });
});
