import { describe, expect, it } from "vitest";
import { MAX_SHOWN, renderFindings, type ShownFinding } from "../../src/cli/render/findings.js";

const finding = (given: Partial<ShownFinding> = {}): ShownFinding => ({
  code: "BLOB_HASH",
  explain: "a blob has the wrong SHA-256",
  advice: "Get it again.",
  ...given,
});
const onTerminal = { color: false, isTerminal: true };

describe("findings", () => {
  it("say about what, what was expected and found, who needs it, and what to do", () => {
    const lines = renderFindings(
      [
        finding({
          subject: "blobs/sha256/aa",
          expected: "aa",
          actual: "bb",
          offset: 7,
          neededBy: ["root default"],
        }),
        finding({ subject: "blobs/sha256/cc", expected: null, neededBy: ["a", "b", "c", "d", "e"] }),
      ],
      onTerminal,
    );
    expect(lines).toEqual([
      "",
      { text: "BLOB_HASH: a blob has the wrong SHA-256 (2 times)", style: "bad" },
      "  about:     blobs/sha256/aa, byte 7",
      "  expected:  aa",
      "  found:     bb",
      "  needed by: root default",
      "  about:     blobs/sha256/cc",
      "  needed by: a, b, c, and 2 more",
      "  do:        Get it again.",
    ]);
  });

  it("keep those apart that need something else done", () => {
    const lines = renderFindings([finding(), finding({ advice: "Other." })], onTerminal);
    expect(lines.filter((line) => typeof line === "object")).toHaveLength(2);
  });

  it("are cut on a terminal only", () => {
    const many = Array.from({ length: MAX_SHOWN + 3 }, (_, i) => finding({ subject: `b${i}` }));
    expect(renderFindings(many, onTerminal).at(-1)).toBe("... and 3 more findings: --json gives all");
    const all = renderFindings(many, { color: false, isTerminal: false });
    expect(all).toContain(`  about:     b${MAX_SHOWN + 2}`);
  });
});
