import { describe, expect, it } from "vitest";
import { parseListen, urlOf } from "../../../src/ops/serve/listen.js";

describe("a place to listen", () => {
  it.each([
    ["127.0.0.1:8484", "127.0.0.1", 8484, true],
    ["127.8.9.1:0", "127.8.9.1", 0, true],
    ["localhost:80", "127.0.0.1", 80, true],
    ["[::1]:8484", "::1", 8484, true],
    ["[0:0:0:0:0:0:0:1]:1", "::1", 1, true],
    ["[::ffff:127.0.0.1]:1", "::ffff:7f00:1", 1, true],
    ["[::ffff:10.0.0.1]:1", "::ffff:a00:1", 1, false],
    ["0.0.0.0:8484", "0.0.0.0", 8484, false],
    ["[::]:65535", "::", 65_535, false],
    ["192.168.7.1:8484", "192.168.7.1", 8484, false],
    ["[FD00::1]:8484", "fd00::1", 8484, false],
  ])("%s", (text, address, port, isLoopback) => {
    expect(parseListen(text)).toEqual({ address, port, isLoopback });
  });

  it.each([
    ...["", "8484", ":8484", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:08", "127.0.0.1:-1"],
    ...[
      "::1:8484",
      "[::1]",
      "[::1%lo]:80",
      "[:::]:80",
      "[127.0.0.1]:80",
      "1.2.3:80",
      "256.0.0.1:80",
      "01.0.0.1:80",
    ],
    ...[
      "0x7f.0.0.1:80",
      "127.1:80",
      "2130706433:80",
      "cache.site:80",
      "127.0.0.1:80/",
      "http://127.0.0.1:80",
    ],
    ...["127.0.0.1:80 ", "127.0.0.1:80\n", "[::1]:80:90"],
  ])("refuses %j", (text) => {
    expect(() => parseListen(text)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  it("is told to others by the machine's name where it stands for all its addresses", () => {
    expect(urlOf("127.0.0.1", 80, "host")).toBe("http://127.0.0.1:80/");
    expect(urlOf("fd00::1", 80, "host")).toBe("http://[fd00::1]:80/");
    expect([urlOf("0.0.0.0", 80, "host"), urlOf("::", 80, "host")]).toEqual([
      "http://host:80/",
      "http://host:80/",
    ]);
  });
});
