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

describe("an error with a trace", () => {
  const message = (entry: object) =>
    new InternalLog().parse(`@nix ${JSON.stringify({ action: "msg", level: 0, ...entry })}`);

  it("has the innermost place, and what was being fetched; as 2.8.0 says them", () => {
    const trace = [
      { raw_msg: "while fetching the input 'git+file:///tables'" },
      { column: 82, file: "/nix/store/x-source/flake.nix", line: 2, raw_msg: "while evaluating" },
      { column: 1, file: "/nix/store/x-source/other.nix", line: 1, raw_msg: "while calling" },
    ];
    const entry = { raw_msg: "program 'git' failed", file: null, line: null, column: null, trace };
    expect(message(entry)).toMatchObject({
      text: "program 'git' failed\nwhile fetching the input 'git+file:///tables'\nat /nix/store/x-source/flake.nix:2:82",
    });
  });

  it("has a place once where its file's name ends with it, as from 2.26 on", () => {
    const entry = { raw_msg: "attribute missing", file: "/flake/flake.nix:3:8", line: 3, column: 8 };
    expect(message(entry)).toMatchObject({ text: "attribute missing\nat /flake/flake.nix:3:8" });
    expect(message({ raw_msg: "no place", file: "«none»:0", line: 0, column: 0 })).toMatchObject({
      text: "no place",
    });
  });
});

it("tells no password of a URL, coloured or not", () => {
  const said = (msg: string) =>
    new InternalLog().parse(`@nix ${JSON.stringify({ action: "msg", level: 0, msg })}`);
  expect(said("fetching '\u001b[35;1mhttps://ada:pw\u001b[0m@example.org/x'")).toMatchObject({
    text: "fetching 'https://example.org/x'",
  });
  expect(new InternalLog().parse("fatal: 'https://token@example.org/x'")).toMatchObject({
    text: "fatal: 'https://example.org/x'",
  });
});
