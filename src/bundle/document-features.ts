/** Optional parts of minor versions that a document says it uses, so that an older reader can name what it lacks. */
import type { BundleDocument } from "../generated/types.js";

/** 1.1: approvals by keys of several kinds and by people; a VERIFY.md that knows them. */
const APPROVALS = "approvals";
/** 1.2, where it is used: evaluation under named variables. */
const ENVIRONMENT = "environment";

/** The newest that is written and read. */
export const FORMAT_VERSION = "1.2";
/** All that are read. */
export const FEATURES: readonly string[] = [APPROVALS, ENVIRONMENT];

/** What a new document says of itself: the oldest version that has what it uses. */
export function versionFor({ hasEnvironment }: { readonly hasEnvironment: boolean }): {
  readonly version: string;
  readonly features: string[];
} {
  return hasEnvironment
    ? { version: "1.2", features: [APPROVALS, ENVIRONMENT] }
    : { version: "1.1", features: [APPROVALS] };
}

export function hasManyKinds({ features }: Pick<BundleDocument, "features">): boolean {
  return features.includes(APPROVALS);
}

export function hasEnvironment({ features }: Pick<BundleDocument, "features">): boolean {
  return features.includes(ENVIRONMENT);
}
