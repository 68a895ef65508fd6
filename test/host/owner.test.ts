import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { hasEnded, markIn, ownMark, ownName, pidOf } from "../../src/host/owner.js";

describe("owner", () => {
  it("is found again in a name", () => {
    expect(markIn(ownName(".x.partial-"))).toBe(ownMark());
    expect(pidOf(ownMark())).toBe(process.pid);
    for (const name of ["x", `${ownMark()}-`, "nix-airgap-sign-mSgr4r"]) expect(markIn(name)).toBe(null);
  });

  it("has ended when its process is gone, or its id is another's, here", async () => {
    const child = spawn("true");
    await once(child, "exit");
    const [, start, place] = ownMark().split(".");
    expect(hasEnded(ownMark())).toBe(false);
    expect(hasEnded(`${child.pid}.${start}.${place}`)).toBe(true);
    expect(hasEnded(`${process.pid}.1.${place}`)).toBe(true);
  });

  it("counts as alive where that cannot be judged: another machine, or no mark at all", () => {
    for (const mark of [`4194304.1.${"0".repeat(8)}`, "", "junk"]) expect(hasEnded(mark)).toBe(false);
  });
});
