/** What the commands of the audit log have in common. */
import { resolve } from "node:path";
import type { Context } from "../../ops/context.js";
import { placeOf } from "../trust.js";

/** Where a site keeps its state. */
const STATE = "/var/lib/nix-airgap";

export const stateOption = {
  kind: "text",
  describe: `DIR  of the site's state; default: ${STATE}`,
} as const;

export function stateFolder(given: string | undefined): string {
  return given ?? STATE;
}

/** What the site's state remembers of the log's end, read before the log; null where there is no state. */
export async function rememberedHead(state: string, { cwd }: Pick<Context, "cwd">) {
  const { readState } = await import("../../ops/site.js");
  const remembered = await readState(placeOf({ policy: undefined, state: resolve(cwd, state) }, cwd));
  return remembered?.audit ?? null;
}
