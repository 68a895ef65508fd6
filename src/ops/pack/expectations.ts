/** `--expect ATTR=STOREPATH`: whether what was evaluated is what somebody has tested. */
import { AirgapError, type Finding, fail } from "../../errors.js";
import { parseFragment } from "../../nix/flake-fragment.js";
import { parseStorePath } from "../../nix/store-path.js";

export interface Expectation {
  /** As it was written. */
  readonly attr: string;
  readonly storePath: string;
}

/** @throws AirgapError USAGE */
export function parseExpectations(texts: readonly string[]): Expectation[] {
  return texts.map((text) => {
    const at = text.indexOf("=/");
    const storePath = text.slice(at + 1);
    if (at > 0 && isStorePath(storePath)) return { attr: parseFragment(text.slice(0, at)), storePath };
    return fail("USAGE", {
      subject: "--expect",
      expected: "ATTR=STOREPATH, such as default=/nix/store/…-pump-1.4.0",
      actual: JSON.stringify(text.slice(0, 500)),
    });
  });
}

function isStorePath(text: string): boolean {
  try {
    parseStorePath(text);
    return true;
  } catch (error) {
    if (error instanceof AirgapError) return false;
    throw error;
  }
}

/** Roots with their outputs, as evaluated. */
export interface Evaluated {
  readonly attr: string;
  readonly outputs: readonly { readonly path: string }[];
}

/**
 * Outputs that are not those that were expected. Of several outputs one is enough: they come from one derivation.
 *
 * @throws AirgapError USAGE for an attribute that is not packed, or may be several
 */
export function checkExpectations(
  expectations: readonly Expectation[],
  roots: readonly Evaluated[],
): Finding[] {
  return expectations.flatMap(({ attr, storePath }): Finding[] => {
    const meant = roots.filter((root) => root.attr === attr || withoutSystem(root.attr) === attr);
    const [root] = meant;
    if (root === undefined || meant.length > 1) {
      return fail("USAGE", {
        subject: `--expect ${attr}`,
        expected: `one of ${roots.map((one) => one.attr).join(", ")}`,
        actual: root === undefined ? "an output that is not packed" : `${meant.length} outputs`,
      });
    }
    const paths = root.outputs.map(({ path }) => path);
    if (paths.includes(storePath)) return [];
    return [{ code: "EXPECT_DIFFERS", subject: root.attr, expected: storePath, actual: paths.join(", ") }];
  });
}

/** Where Nix looks for what is named without it. */
function withoutSystem(attr: string): string {
  return attr.replace(/^(legacyP|p)ackages\.[^.]+\./, "");
}
