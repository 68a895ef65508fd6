/** Optional parts of minor versions that a document says it uses, so that an older reader can name what it lacks. */
import type { BundleDocument } from "../generated/types.js";

/** 1.1: approvals by keys of several kinds and by people; a VERIFY.md that knows them. */
const APPROVALS = "approvals";

export const FORMAT_VERSION = "1.1";
export const FEATURES: readonly string[] = [APPROVALS];

export function hasManyKinds({ features }: Pick<BundleDocument, "features">): boolean {
  return features.includes(APPROVALS);
}
