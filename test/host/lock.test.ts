import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { withLock } from "../../src/host/lock.js";
import { ownMark } from "../../src/host/owner.js";

const dir = mkdtempSync(join(tmpdir(), "lock-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const path = join(dir, "lock");
/** A process of this machine that does not exist. */
const gone = `4194304.123.${ownMark().split(".")[2]}`;
const locked = expect.objectContaining({ code: "LOCKED" });

describe("lock", () => {
  it("excludes another run, and is gone after", async () => {
    const result = await withLock(path, async () => {
      await expect(withLock(path, async () => "second")).rejects.toThrow(locked);
      return "first";
    });
    expect(result).toBe("first");
    expect(readdirSync(dir)).toEqual([]);
  });

  it("is gone after a failure", async () => {
    const failing = withLock(path, async () => {
      throw new Error("x");
    });
    await expect(failing).rejects.toThrow("x");
    expect(existsSync(path)).toBe(false);
  });

  it("takes over what a crash left: no such process, or another with the same id", async () => {
    for (const mark of [gone, ownMark().replace(/\.\d+\./, ".1.")]) {
      const identity = `${mark} ${hostname()}\n`;
      writeFileSync(path, identity);
      expect(await withLock(path, async () => readFileSync(path, "utf8"))).not.toBe(identity);
    }
  });

  it("lets only one of many take over", async () => {
    writeFileSync(path, `${gone} ${hostname()}\n`);
    let inside = 0;
    let most = 0;
    const runs = Array.from({ length: 20 }, () =>
      withLock(path, async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside--;
      }),
    );
    const outcomes = await Promise.allSettled(runs);
    expect(most).toBe(1);
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled").length).toBeGreaterThan(0);
    expect(readdirSync(dir)).toEqual([]);
  });

  it("leaves the lock of another machine, and one it cannot read, alone", async () => {
    for (const identity of [`4194304.123.${"0".repeat(8)} elsewhere\n`, "", "junk"]) {
      writeFileSync(path, identity);
      await expect(withLock(path, async () => 0)).rejects.toThrow(locked);
      expect(readFileSync(path, "utf8")).toBe(identity);
    }
    rmSync(path);
  });

  it("says who holds it, since when, and what to do", async () => {
    const error = await withLock(path, () => withLock(path, async () => null).catch((thrown) => thrown));
    expect(error).toMatchObject({
      code: "LOCKED",
      details: {
        subject: path,
        actual: expect.stringMatching(
          new RegExp(
            `^held by process ${process.pid} on this machine since 20\\d\\d-\\d\\d-\\d\\dT[\\d:]+Z$`,
          ),
        ),
        hint: expect.stringContaining(`remove ${path}`),
      },
    });
  });

  it("takes over from a run that was killed while it took over, and leaves nothing of it", async () => {
    writeFileSync(path, `${gone} ${hostname()}\n`);
    writeFileSync(`${path}.takeover`, `${gone} ${hostname()}\n`);
    writeFileSync(`${path}.${gone}-00000000`, "");
    await withLock(path, async () => 0);
    expect(readdirSync(dir)).toEqual([]);
    writeFileSync(`${path}.takeover`, `${gone} ${hostname()}\n`);
    await withLock(path, async () => 0);
    expect(readdirSync(dir)).toEqual([]);
  });
});
