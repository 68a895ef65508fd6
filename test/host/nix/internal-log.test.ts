import { describe, expect, it } from "vitest";
import { InternalLog } from "../../../src/host/nix/internal-log.js";

describe("Nix's internal-json log", () => {
  it("tells copies and builds as they start and finish", () => {
    const log = new InternalLog();
    const line = (value: unknown) => log.parse(`@nix ${JSON.stringify(value)}`);
    expect(line({ action: "start", id: 1, type: 100, fields: ["/nix/store/a", "x", "y"] })).toEqual({
      type: "started",
      kind: "copy",
      subject: "/nix/store/a",
    });
    expect(line({ action: "start", id: 2, type: 105, fields: ["/nix/store/b.drv", "", 1, 1] })?.type).toBe(
      "started",
    );
    expect(line({ action: "result", id: 2, type: 101, fields: ["\u001b[31mhello\u001b[0m"] })).toEqual({
      type: "build-line",
      line: "hello",
      subject: "/nix/store/b.drv",
    });
    expect(line({ action: "stop", id: 1 })).toEqual({
      type: "finished",
      kind: "copy",
      subject: "/nix/store/a",
    });
    expect(line({ action: "stop", id: 1 })).toBeUndefined();
    expect(line({ action: "start", id: 3, type: 109, fields: ["/nix/store/a"] })).toBeUndefined();
  });

  it("tells messages without colours, and takes what it does not understand as text", () => {
    const log = new InternalLog();
    expect(
      log.parse('@nix {"action":"msg","level":0,"msg":"\\u001b[31merror:\\u001b[0m no","raw_msg":"no"}'),
    ).toEqual({
      type: "message",
      level: 0,
      text: "no",
    });
    for (const odd of ["@nix {", "@nix 1", "plain", '@nix {"action":"start"}', "@nix null", "  "]) {
      expect(() => log.parse(odd)).not.toThrow();
    }
    expect(log.parse("Assertion failed")).toEqual({ type: "message", level: 0, text: "Assertion failed" });
  });
});
