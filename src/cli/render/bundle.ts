/** Which bundle a report is about. */
import type { ReportedBundle } from "../../generated/types.js";

/** Rows of a table; none where there was no bundle that holds. */
export function bundleRows(bundle: ReportedBundle | null): string[][] {
  if (bundle === null) return [];
  const { product, release, sequence, tier, sha256 } = bundle;
  return [
    ["release", `${product} ${release}, sequence ${sequence}, tier ${tier}`],
    ["bundle id", sha256],
  ];
}
